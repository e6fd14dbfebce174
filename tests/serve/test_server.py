"""The service as processes: what they import, write, say and survive."""

import json
import os
import shutil
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from serve.run import _hosts
from serve.web.app import create_app
from serve.web.server import new_server
from tests.serve.conftest import Service, encoded, stripe, wait_until
from tests.serve.mutations import multipart

pytestmark = pytest.mark.slow

FORBIDDEN = [
    "torch", "torchvision", "optuna", "sklearn", "scipy", "onnx", "space", "studies", "train_core",
    "search", "reports",
]  # fmt: skip

BLOCK = f"import sys; sys.modules.update(dict.fromkeys({FORBIDDEN}))"

WATCH = """
import sys
def watch(event, args):
    if event == "open" and isinstance(args[0], str) and args[2] & 3 or event in (
        "os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"
    ):
        sys.stderr.write(f"WRITES {event} {args}\\n")
sys.addaudithook(watch)
"""

SLOW = """
import os, time, serve.model as m
was = m.Model.predict
def slow(*args, **options):
    while os.path.exists(os.environ.get("HELD", "")):
        time.sleep(0.01)
    time.sleep(0.3)
    return was(*args, **options)
m.Model.predict = slow
"""
"""A network that takes long, as a large one would, and as long as there is a file HELD."""


def ask(service, *contents: bytes, headers=(), path: str = "/api/predict"):
    body, kind = multipart(*contents)
    request = Request(service.url + path, body, {"Content-Type": kind, **dict(headers)})
    with urlopen(request, timeout=60) as response:
        return json.loads(response.read())


@pytest.fixture(scope="module")
def served(best, index):
    """A service that has none of our other packages and no torch."""
    service = Service("--model", best, "--index", index, "--processes", 1, code=BLOCK)
    yield service
    service.kill()


KEY = "a-key-of-sixteen-letters"


@pytest.fixture(scope="module")
def locked(best):
    """A service with a key."""
    service = Service("--model", best, "--processes", 1, env={"CONVSEARCH_API_KEY": KEY})
    yield service
    service.kill()


def test_it_needs_none_of_our_packages_and_no_torch(served) -> None:
    assert ask(served, encoded(stripe(1)))["predictions"][0]["class"] == "b"
    assert len(ask(served, encoded(stripe()), path="/api/similar")["neighbours"]) == 6


@pytest.mark.parametrize("name", ["predict", "index", "similar", "tag", "run"])
def test_no_command_needs_them(run_module, name) -> None:
    code = f"{BLOCK}; import runpy; sys.argv[1:] = ['--help']; "
    code += f"runpy.run_module('serve.{name}', run_name='__main__')"
    done = run_module("timeit", "-n1", "-r1", "-s", "pass", code)
    assert "Usage" in done.stdout, done.stderr


def test_it_waits_for_a_model_if_told_to(start, best, tmp_path) -> None:
    service = start("--model", tmp_path / "x" / "best", "--wait")
    assert service.said == f"waiting for a model in {tmp_path / 'x' / 'best'}\n"
    shutil.copytree(best, tmp_path / "copy")
    (tmp_path / "x").mkdir()
    (tmp_path / "copy").rename(tmp_path / "x" / "best")
    service.waited()
    assert ask(service, encoded(stripe(1)))["predictions"][0]["class"] == "b"


def test_nothing_is_written_but_counts_that_are_gone_at_the_end(
    start, best, index, tmp_path
) -> None:
    env = {"TMPDIR": str(tmp_path)}
    service = start("--model", best, "--index", index, env=env, code=f"exec({WATCH!r})")
    large = encoded(stripe()) + bytes(3 << 20)  # Werkzeug would spool it, waitress too.
    assert len(ask(service, large, large)["predictions"]) == 2
    ask(service, large, path="/api/similar")
    for path in ("/api/pictures/1", "/", "/metrics"):
        service.get(path)
    (scratch,) = tmp_path.glob("convsearch-*")
    code, errors = service.stop()
    _, made, errors = errors.partition("WRITES tempfile.mkdtemp")
    assert made
    written = [line for line in errors.splitlines() if line.startswith("WRITES")]
    assert written
    assert [line for line in written if str(scratch) not in line] == []
    assert code == 0
    assert "Traceback" not in errors
    assert not scratch.exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, getattr(signal, "SIGHUP", None)])
def test_when_it_is_told_to_end_those_who_wait_are_answered(start, best, tmp_path, end) -> None:
    """What a terminal sends reaches every process; what people sent stays out of the log."""
    held = tmp_path / "held"
    service = start("--model", best, "--processes", 2, code=SLOW, env={"HELD": str(held)})
    held.touch()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, service, encoded(stripe()))
        wait_until(lambda: b"convsearch_waiting_images 1.0" in service.get("/metrics"))
        everybody = [service.process.pid, *(child.pid for child in service.children())]
        for process in everybody[:1] if end == signal.SIGTERM else everybody:
            os.kill(process, end)
        held.unlink()
        assert asked.result()["predictions"]
    output, errors = service.process.communicate(timeout=30)
    assert (service.process.returncode, output) == (0, "")
    (line,) = [one for one in errors.splitlines() if "api.predict" in one]
    assert " POST 200 " in line
    assert "picture.png" not in errors


def test_a_process_that_dies_is_replaced_and_counts_are_summed(start, best) -> None:
    service = start("--model", best, "--processes", 2)
    wait_until(lambda: len(service.children()) == 2)
    for _ in range(10):
        assert ask(service, encoded(stripe()))["predictions"]
    before = {child.pid for child in service.children()}
    service.children()[0].kill()
    wait_until(lambda: len({child.pid for child in service.children()} - before) == 1)
    for _ in range(10):
        assert ask(service, encoded(stripe()))["predictions"]
    text = service.get("/metrics").decode()
    assert "convsearch_images_total 20.0" in text
    assert 'convsearch_requests_total{endpoint="api.predict",status="200"} 20.0' in text
    assert "convsearch_waiting_images 0.0" in text
    code, errors = service.stop()
    assert code == 0
    assert "was sent SIGKILL" in errors


def test_nothing_is_left_when_the_first_process_is_killed(start, best, tmp_path) -> None:
    service = start("--model", best, "--processes", 2, env={"TMPDIR": str(tmp_path)})
    wait_until(lambda: len(service.children()) == 2)
    children = service.children()
    service.process.kill()
    wait_until(lambda: not any(_alive(child) for child in children))
    assert list(tmp_path.glob("convsearch-*")) == []


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_a_process_that_dies_before_it_answers_is_not_replaced_for_ever(run_module, best) -> None:
    code = "import os, serve.model as m; m.Model.__init__ = lambda *a: os.kill(os.getpid(), 9); "
    code += f"import runpy, sys; sys.argv[1:] = ['--model', {str(best)!r}, '--port', '0']; "
    code += "runpy.run_module('serve.run', run_name='__main__')"
    done = run_module("timeit", "-n1", "-r1", "-s", "pass", code)
    assert done.returncode == 1
    assert "a process died before any could answer" in done.stderr


def test_where_there_is_no_fork_one_process_answers(start, best) -> None:
    service = start("--model", best, code="import os; del os.fork")
    assert service.children() == []
    assert ask(service, encoded(stripe()))["predictions"]
    assert b"convsearch_images_total 1.0" in service.get("/metrics")
    assert service.stop()[0] == 0


def test_the_key_comes_from_a_file(start, best, tmp_path) -> None:
    """From the environment: `test_page.py`."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    service = start("--model", best, "--api-key-file", tmp_path / "key")
    with pytest.raises(HTTPError, match="401"):
        service.get("/api/model")
    ask(service, encoded(stripe()), headers={"Authorization": f"Bearer {KEY}"}.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "none"], "a model must be a folder"),
        (["--api-key-file", "none", "--model", "BEST"], "--api-key-file must be a readable file"),
        (["--api-key-file", "short", "--model", "BEST"], "at least 16 characters"),
        (["--index", "none", "--model", "BEST"], "an index must be a file that"),
        (["--prefix", "/a b", "--model", "BEST"], "a path prefix must be parts of letters"),
        (["--prefix", "api", "--model", "BEST"], "must not begin like an address of the service"),
        (["--trusted-proxy", "nginx", "--model", "BEST"], "must be an address or a network"),
    ],
)
def test_mistakes_are_one_line_whoever_has_the_address(
    run_here, best, tmp_path, words, message
) -> None:
    (tmp_path / "short").write_text("short")
    words = [best if word == "BEST" else word for word in words]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run_here("serve.run", *words, "--port", taken.getsockname()[1])
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_mistakes_that_all_processes_find_are_one_line(run_module, best, tmp_path) -> None:
    shutil.copytree(best, tmp_path / "best")
    (tmp_path / "best" / "model.onnx").write_bytes(b"no network")
    done = run_module("serve.run", "--model", "best", "--port", 0, "--processes", 3)
    assert (done.returncode, done.stdout) == (2, "")
    assert "a model must be a file that ONNX Runtime can load" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_said_to_be(run_module, best) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_module("serve.run", "--model", best, "--port", port)
    assert done.returncode == 2
    assert "Address already in use; choose another one with --port" in done.stderr


def test_ipv6(start, best) -> None:
    """Only under names that mean this machine: another one could be a foreign page's own."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    service = start("--model", best, "--processes", 1, "--host", "::1")
    assert service.url.startswith("http://[::1]:")
    assert json.loads(service.get("/readyz")) == {"status": "ready"}
    for host, status in (("[::1]:8000", 200), ("localhost", 200), ("[::2]", 400), ("[::1", 400),
                         ("evil.example", 400), ("[::1].evil.example", 400)):  # fmt: skip
        request = Request(f"{service.url}/readyz", headers={"Host": host})
        if status == 200:
            urlopen(request, timeout=30).close()
        else:
            with pytest.raises(HTTPError, match=str(status)):
                urlopen(request, timeout=30)


@pytest.mark.parametrize(
    ("host", "address", "names"),
    [
        ("0:0:0:0:0:0:0:1", "::1", ("0:0:0:0:0:0:0:1", "::1")),
        ("127.1.2.3", "127.1.2.3", ("127.1.2.3", "localhost")),
        ("LocalHost", "127.0.0.1", ("localhost",)),
        ("::", "::", None),
        ("0.0.0.0", "0.0.0.0", None),
        ("fe80::1", "fe80::1%eth0", None),
    ],
)
def test_addresses_of_this_machine_keep_the_check_of_names(host, address, names) -> None:
    place = (0, 0, 0, "", (address, 8000))
    kept = _hosts(host, place, [])
    assert kept is None if names is None else set(names) < set(kept)
    assert {"localhost", "pictures.example"} < set(_hosts(host, place, ["Pictures.example"]))


def answers(service, *sent: bytes) -> bytes:
    """What comes back until the connection ends."""
    with socket.create_connection(service.address, timeout=30) as connection:
        for one in sent:
            connection.sendall(one)
        found = b""
        while more := connection.recv(1 << 16):
            found += more
    return found


POST = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=XX\r\n"
LARGE = 10_000_000


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        (b"", b"Content-Length: 10000000\r\n\r\n", b"401"),
        (b"", b"Content-Length: 10000000\r\n\r\n" + bytes(LARGE), b"401"),
        (b"", b"Transfer-Encoding: chunked\r\n\r\n989680\r\n" + bytes(LARGE), b"401"),
        (b"Expect: 100-continue\r\n", b"Content-Length: 10000000\r\n\r\n", b"401"),
        (b"Expect: 100-continue\r\n", b"Transfer-Encoding: chunked\r\n\r\n", b"401"),
        (b"Authorization: Bearer wrong\r\n", b"Content-Length: 9\r\n\r\n", b"401"),
        (b"KEY", b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"KEY", b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", b"413"),
    ],
)
def test_who_has_no_key_is_told_before_the_body_is_read(locked, head, body, status) -> None:
    """Nobody is asked to send it; who does can finish, and hears why; then it is over."""
    head = f"Authorization: Bearer {KEY}\r\n".encode() if head == b"KEY" else head
    found = answers(locked, POST + FORM + head + body)
    assert found.startswith(b"HTTP/1.1 " + status)
    assert found.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in found
    assert b'"error":' in found


def test_who_goes_on_to_send_is_listened_to_and_who_is_silent_is_not(model) -> None:
    """A refused client, and the cleaning up of the server at chosen times."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as stack:
        server = new_server(create_app(model), listening, {})
        stack.callback(server.close)
        stack.callback(server.task_dispatcher.shutdown)
        client, accepted = map(stack.enter_context, socket.socketpair())
        channel = server.channel_class(server, accepted, "", server.adj, map={})
        channel.is_cut = True

        def is_over(seconds: float) -> bool:
            """Whether it ends, so long after the client was heard last."""
            channel.will_close = False
            server.maintenance(heard + seconds)
            return channel.will_close

        channel.handle_close()
        heard = channel._heard
        channel.last_activity = heard + 1000  # As by the thread that has answered.
        assert not is_over(4.9)
        assert is_over(5.1)
        channel._heard -= 4
        client.sendall(b"more")
        channel.handle_read()
        assert not is_over(4.9)
        assert is_over(60)
        channel.handle_close()
        assert not channel.connected


def test_a_body_that_is_not_read_is_no_request(locked) -> None:
    other = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found = answers(locked, POST + FORM + b"Content-Length: 90\r\n\r\n" + other, other)
    assert found.count(b"HTTP/1.1") == 1


def test_who_has_the_key_is_asked_for_the_body(locked) -> None:
    body, kind = multipart(encoded(stripe(1)))
    head = POST + f"Authorization: Bearer {KEY}\r\nContent-Type: {kind}\r\n".encode()
    head += b"Connection: close\r\nExpect: 100-continue\r\n"
    with socket.create_connection(locked.address, timeout=30) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_strange_requests_leave_it_alive(served) -> None:
    """Each is answered in words and at once, or not at all if there is nothing to answer."""
    post = POST + FORM
    get = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n"
    for sent in (b"", b"\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 50,
                 post + b"Content-Length: 99999999999\r\n\r\n",
                 post + b"Content-Length: %b\r\n\r\n" % (b"9" * 5000),
                 post + b"Content-Length: x\r\n\r\n",
                 post + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                 post + b"Transfer-Encoding: chunked\r\n\r\n%b\r\nx" % (b"f" * 4000),
                 post + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 300_000,
                 post + b"Transfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
                 get % (b"/" + b"a" * 400_000, b"localhost", b""),
                 get % (b"http://[::1/healthz", b"localhost", b""),
                 get % (b"/api/pictures/" + b"9" * 5000, b"localhost", b""),
                 get % (b"/static/%00%ff", b"localhost", b""),
                 get % (b"/healthz", b"localhost", b"Expect: 100-continue\r\n"),
                 get % (b"/healthz", b"localhost", b"Content-Length: 9999999\r\n"),
                 get % (b"/", "käse.example".encode(), b""), get % (b"/", b"[::1", b""),
                 get % (b"/", b"localhost", b"X-A: a\0b\r\n")):  # fmt: skip
        with socket.create_connection(served.address, timeout=5) as connection:
            connection.sendall(sent)
            whole = b"\r\n\r\n" in sent.lstrip()
            if not whole:
                connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        if answer:
            assert answer.split(b" ")[1][:2] in (b"20", b"40", b"41", b"43", b"50"), sent[:60]
            assert b"Content-Type: application/json" in answer or b"text/html" in answer
        assert answer or not whole, sent[:60]
    assert ask(served, encoded(stripe()))["predictions"]


def test_those_who_never_finish_hold_up_nobody(served) -> None:
    """More than there are threads: of their heads, and of their bodies."""
    with ExitStack() as stack:
        for number in range(60):
            slow = HTTPConnection(*served.address)
            stack.callback(slow.close)
            slow.putrequest("POST", "/api/predict")
            slow.putheader("Content-Length", "1000")
            if number % 2:
                slow.endheaders(b"a part of it")
            else:
                slow.connect()
                slow.sock.sendall(b"POST /api/predict HTTP/1.1\r\nHost")
        assert ask(served, encoded(stripe()))["predictions"]


def test_more_than_can_be_answered_is_turned_away_and_health_is_told(start, best) -> None:
    """A slow network and 100 clients at once."""
    service = start("--model", best, "--processes", 1, code=SLOW)

    def status() -> int:
        try:
            return len(ask(service, encoded(stripe()))["predictions"]) and 200
        except HTTPError as error:
            return error.code

    with ThreadPoolExecutor(100) as pool:
        asked = [pool.submit(status) for _ in range(200)]
        assert json.loads(service.get("/healthz")) == {"status": "ok"}
        statuses = {one.result() for one in asked}
    assert statuses == {200, 503}
