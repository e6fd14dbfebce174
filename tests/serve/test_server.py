"""The service as a process: what it imports, writes, says and survives."""

import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import psutil
import pytest

from tests.serve.conftest import encoded, stripe, wait_until
from tests.serve.mutations import multipart

FORBIDDEN = [
    "torch", "torchvision", "optuna", "sklearn", "scipy", "onnx", "space", "studies", "train_core",
    "search", "reports",
]  # fmt: skip

BLOCK = f"import sys; sys.modules.update(dict.fromkeys({FORBIDDEN}))"

WATCH = """
import sys
def watch(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & 3 or event in (
        "os.mkdir", "os.rename", "tempfile.mkstemp", "tempfile.mkdtemp"
    ):
        sys.stderr.write(f"WRITES {event} {args}\\n")
sys.addaudithook(watch)
"""


def ask(service, *contents: bytes, headers=(), path: str = "/api/predict"):
    body, kind = multipart(*contents)
    request = Request(service.url + path, body, {"Content-Type": kind, **dict(headers)})
    with urlopen(request, timeout=60) as response:
        return json.loads(response.read())


def test_it_needs_none_of_our_packages_and_no_torch(start, best, index) -> None:
    service = start("--model", best, "--index", index, code=BLOCK)
    assert ask(service, encoded(stripe(1)))["predictions"][0]["top"][0]["name"] == "b"
    assert len(ask(service, encoded(stripe()), path="/api/similar")["neighbours"]) == 6


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
    assert ask(service, encoded(stripe(1)))["predictions"][0]["top"][0]["name"] == "b"


def test_it_starts_quickly(start, best) -> None:
    """The time is bounded by a wide margin: it is measured in `benchmarks/serve_load.py`."""
    began = time.monotonic()
    start("--model", best)
    assert time.monotonic() - began < 30


def test_no_file_is_ever_written(start, best, index) -> None:
    service = start("--model", best, "--index", index, code=f"exec({WATCH!r})")
    large = encoded(stripe()) + bytes(3 << 20)  # Werkzeug would spool it, waitress too.
    assert len(ask(service, large, large)["predictions"]) == 2
    ask(service, large, path="/api/similar")
    service.get("/api/pictures/1")
    service.get("/")
    code, errors = service.stop()
    assert "WRITES" not in errors
    assert code == 0
    assert "Traceback" not in errors


def test_the_watch_would_have_seen_it(start, best) -> None:
    code = f"exec({WATCH!r}); import tempfile; tempfile.TemporaryFile().close()"
    _, errors = start("--model", best, code=code).stop()
    assert "WRITES tempfile.mkstemp" in errors or "WRITES open" in errors


def test_it_ends_when_told_and_logs_requests_without_what_people_sent(start, best) -> None:
    service = start("--model", best)
    ask(service, encoded(stripe()))
    code, errors = service.stop()
    assert code == 0
    (line,) = [one for one in errors.splitlines() if "api.predict" in one]
    assert " POST 200 " in line
    assert "picture.png" not in errors


def test_a_process_that_dies_is_replaced_and_figures_are_summed(start, best) -> None:
    service = start("--model", best, "--processes", 2)
    first = psutil.Process(service.process.pid)
    wait_until(lambda: len(first.children()) == 2)
    before = {child.pid for child in first.children()}
    first.children()[0].kill()
    wait_until(lambda: len({child.pid for child in first.children()} - before) == 1)
    for _ in range(20):
        assert ask(service, encoded(stripe()))["predictions"]
    text = service.get("/metrics").decode()
    assert "convsearch_images_total 20.0" in text
    assert 'convsearch_requests_total{endpoint="api.predict",status="200"} 20.0' in text
    code, errors = service.stop()
    assert code == 0
    assert "ended with -9; another takes its place" in errors


def test_no_process_is_left_when_the_first_is_killed(start, best) -> None:
    service = start("--model", best, "--processes", 2)
    first = psutil.Process(service.process.pid)
    wait_until(lambda: len(first.children()) == 2)
    children = first.children()
    service.process.kill()
    wait_until(lambda: not any(_alive(child) for child in children))


def _alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def test_the_key_comes_from_the_environment_or_a_file(start, best, tmp_path) -> None:
    key = "a-key-of-sixteen-letters"
    (tmp_path / "key").write_text(f"{key}\n")
    ways = [([], {"CONVSEARCH_API_KEY": key}), (["--api-key-file", tmp_path / "key"], {})]
    for words, env in ways:
        service = start("--model", best, *words, env=env)
        with pytest.raises(HTTPError, match="401"):
            service.get("/api/model")
        ask(service, encoded(stripe()), headers={"Authorization": f"Bearer {key}"}.items())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "none"], "a model must be a folder"),
        (["--api-key-file", "none", "--model", "BEST"], "--api-key-file must be a readable file"),
        (["--api-key-file", "short", "--model", "BEST"], "at least 16 characters"),
        (["--index", "none", "--model", "BEST"], "an index must be a file that"),
    ],
)
def test_mistakes_are_one_line(run_module, best, tmp_path, words, message) -> None:
    (tmp_path / "short").write_text("short")
    done = run_module("serve.run", *[best if word == "BEST" else word for word in words])
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_said_to_be(run_module, best) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_module("serve.run", "--model", best, "--port", port)
    assert done.returncode == 2
    assert "Address already in use; choose another one with --port" in done.stderr


def test_strange_requests_leave_it_alive(served) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    post = b"POST /api/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    for sent in (b"", b"\r\n\r\n", b"GET / HTTP/9\r\n\r\n", b"\x16\x03\x01\x02\x00\x01" * 50,
                 post + b"99999999999\r\n\r\n", post + b"x\r\n\r\n",
                 b"GET /" + b"a" * 400_000 + b" HTTP/1.1\r\n\r\n"):  # fmt: skip
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(1000)
        assert not answer or answer.split(b" ")[1][:1] in (b"4", b"2"), (sent[:60], answer)
    # Somebody who never finishes holds up nobody.
    slow = HTTPConnection(host, int(port))
    slow.putrequest("POST", "/api/predict")
    slow.putheader("Content-Length", "1000")
    slow.endheaders()
    assert ask(served, encoded(stripe()))["predictions"]
    slow.close()


def test_more_than_can_be_answered_is_turned_away_and_health_is_told(start, best) -> None:
    """A network that takes long, as a large one would, and 100 clients at once."""
    slow = "import time, serve.model as m; was = m.Model.predict; "
    slow += "m.Model.predict = lambda *a: (time.sleep(0.3), was(*a))[1]"
    service = start("--model", best, "--processes", 1, code=slow)

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
