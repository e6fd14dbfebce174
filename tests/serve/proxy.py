"""A little reverse proxy at a socket, which takes a path prefix away or leaves it."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Those of the server below:
    goal: tuple[str, int]
    prefix: str
    strips: bool
    adds: dict[str, str]

    def do_GET(self) -> None:
        path = self.path
        if not f"{path}/".startswith(f"{self.prefix}/"):
            self.send_error(404)
            return
        if self.strips:
            path = path.removeprefix(self.prefix) or "/"
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # Closed whatever follows, since a browser whose page is closed waits for no answer.
        with closing(HTTPConnection(*self.goal, timeout=30)) as onward:
            onward.request(self.command, path, body, {**headers, **self.adds})
            answer = onward.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("date", "connection"):
                self.send_header(name, value)
        with suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def proxy(
    goal: tuple[str, int], prefix: str, strips: bool, adds: dict[str, str] | None = None
) -> Iterator[str]:
    """Yields the address of a service below the prefix, without a slash at its end."""
    handler = type(
        "Handler",
        (_Handler,),
        {"goal": goal, "prefix": prefix, "strips": strips, "adds": adds or {}},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
