"""Commands whose output cannot be written, or not as it is: real processes, pipes and devices."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from records.command_line import LastingOutput

_APP = """
import sys
from contextlib import redirect_stdout
from records.command_line import LastingOutput, new_app, run_app, say

app = new_app()

@app.command()
def main() -> int:
    {body}
    return 7

raise SystemExit(run_app(app{lasting}))
"""
_MUCH = 'for _ in range(20_000): say("a line of the output")'
_GO_ON = f"""output = LastingOutput(sys.stdout)
    with redirect_stdout(output):
        {_MUCH}
    sys.stderr.write(str(output.trouble))"""


def start(body: str, lasting: str = "", **options) -> subprocess.Popen:
    script = _APP.format(body=body, lasting=lasting)
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
    return subprocess.Popen([sys.executable, "-c", script], **{**streams, **options})


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_the_encoding_lacks_is_escaped(encoding) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    process = start('print("caf\\u00e9 \\u65e5 \\udc80")', env=env, encoding=encoding)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (7, "")
    shown = {"ascii": r"caf\xe9 \u65e5 \udc80", "cp1252": r"café \u65e5 \udc80"}
    assert output.strip() == shown[encoding]


@pytest.mark.parametrize(
    ("body", "code", "told"),
    [(_MUCH, 0, ""), (_GO_ON, 7, "nothing more can be written to the output (Broken pipe)")],
)
def test_a_reader_that_goes_away_ends_a_command_quietly_or_not_at_all(body, code, told) -> None:
    process = start(body)
    process.stdout.close()
    assert process.stderr.read() == told
    assert process.wait() == code
    process.stderr.close()


@pytest.mark.parametrize("errors", [subprocess.PIPE, subprocess.STDOUT])
def test_a_command_that_makes_files_goes_on_without_a_reader(errors) -> None:
    process = start(_MUCH, ", lasting=True", stderr=errors)
    process.stdout.close()
    if process.stderr is not None:
        assert process.stderr.read() == (
            "warning: nothing more can be written to the output (Broken pipe); "
            "the command went on without\n"
        )
        process.stderr.close()
    assert process.wait() == 7


@pytest.mark.parametrize("lasting", ["", ", lasting=True"])
def test_another_pipe_that_breaks_is_a_fault(lasting) -> None:
    process = start('say("here"); raise BrokenPipeError(32, "a pipe of its own")', lasting)
    output, errors = process.communicate()
    assert process.returncode == 1
    assert output.strip() == "here"
    assert errors.splitlines()[-1] == "BrokenPipeError: [Errno 32] a pipe of its own"


def test_output_that_is_closed_from_the_start_is_no_fault() -> None:
    script = _APP.format(body='say("here"); print("here")', lasting="")
    command = f"exec {sys.executable} -c '{script}' >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (7, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_output_that_is_lost_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        process = start('say("here"); return 0', stdout=full)
        _, errors = process.communicate()
    assert process.returncode == 1
    assert (
        errors == "error: there must be room for what is written, but: No space left on device\n"
    )


def test_lasting_output_escapes_what_the_encoding_lacks() -> None:
    written = io.BytesIO()
    output = LastingOutput(io.TextIOWrapper(written, encoding="ascii"))
    output.write("caf\u00e9")
    output.flush()
    assert (written.getvalue(), output.trouble) == (rb"caf\xe9", None)


def test_lasting_output_also_lasts_where_it_escapes() -> None:
    class Pipe(io.TextIOWrapper):
        def write(self, text: str) -> int:
            text.encode("ascii")
            raise BrokenPipeError(32, "Broken pipe")

    output = LastingOutput(Pipe(io.BytesIO(), encoding="ascii"))
    assert output.write("caf\u00e9") == 4
    assert output.trouble == "nothing more can be written to the output (Broken pipe)"


def test_lasting_output_passes_everything_on_until_it_cannot() -> None:
    text = io.StringIO()
    output = LastingOutput(text)
    assert output.write("here") == 4
    assert (text.getvalue(), output.trouble, output.isatty()) == ("here", None, False)
    text.close()
    assert output.write("gone") == 4
    output.flush()
    assert output.trouble == (
        "nothing more can be written to the output (I/O operation on closed file)"
    )
