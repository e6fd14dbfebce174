"""What the commands share: how they end, and how they print names that people have chosen."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from typer.exceptions import TyperException

from records.files import is_full_disk

# Exit codes:
USER_MISTAKE = 2  # The user can mend it: a flag, a file, a folder.
SOME_FAILED = 1  # Some pictures could not be read; the others were done.

# Where a study is, for the commands that read one:
StudyOption = Annotated[str, typer.Option(help="name of the study")]
RunsOption = Annotated[str, typer.Option(help="folder of all studies")]
StorageOption = Annotated[
    str | None, typer.Option(help="URL of its storage [SQLite in the study's folder]")
]


def new_app() -> typer.Typer:
    """A command line without boxes and colours, which read badly in logs."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def run_app(app: typer.Typer, *, lasting: bool = False) -> int:
    """Run a command and return its exit code.

    Args:
        app: The command.
        lasting: Whether it goes on when nobody reads its output any more, and says so at the end.
            Every command must whose output is not all that it makes.
    """
    _prepare_output()
    output = LastingOutput(sys.stdout)
    with redirect_stdout(output if lasting else sys.stdout):
        code = _run(app)
    if output.trouble is not None:
        warn(f"{output.trouble}; the command went on without")
    return _flush(code)


def _run(app: typer.Typer) -> int:
    stdout = sys.stdout
    try:
        code = int(app(standalone_mode=False) or 0)
    except TyperException as error:
        complain(f"{error.format_message().rstrip('.')} (--help lists the options)")
        return USER_MISTAKE
    except typer.Exit as done:
        code = done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        complain("stopped; what is written is whole, run the same command again to go on")
        code = 130
    except SystemExit as end:
        code = _had_enough(end, stdout)
    except OSError as error:
        if not is_full_disk(error):
            raise
        code = _no_room(error)
    return code


def _prepare_output() -> None:
    """Let nothing that is said be an error: what the encoding lacks is escaped."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # Closed by whoever started this, or a Windows without a console.
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _had_enough(end: SystemExit, stdout: TextIO) -> int:
    """The exit code if that is the end of a command whose reader has gone away.

    Raises:
        SystemExit: It is another end.
        BrokenPipeError: Another pipe is broken, which is a fault.
    """
    # So typer ends where any pipe is broken.
    if not isinstance(end.__context__, BrokenPipeError):
        raise end
    if not _is_broken(stdout):
        raise end.__context__ from None
    _let_go(stdout)
    return 0


def _is_broken(stream: TextIO) -> bool:
    """Whether nobody reads a stream any more; costs those who do a line, after a fault."""
    try:
        stream.write("\n")
        stream.flush()
    except OSError as error:
        return isinstance(error, BrokenPipeError)
    return False


def _flush(code: int) -> int:
    """Write what is still held back; returns the exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _let_go(sys.stdout)
    except OSError as error:
        return code or _no_room(error)
    return code


def _no_room(error: OSError) -> int:
    complain(f"there must be room for what is written, but: {error.strerror}")
    _let_go(sys.stdout)
    return SOME_FAILED


def _let_go(stream: TextIO) -> None:
    """Send what is still written to a stream nowhere, also what Python flushes at its end."""
    with suppress(OSError, ValueError):  # Not every stream is a file.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


class LastingOutput:
    """A text stream for those who go on when nobody reads it any more: writing never fails.

    Attributes:
        trouble: Why the rest goes nowhere, in words; None = all is well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.trouble: str | None = None

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        try:
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                escaped = text.encode(error.encoding, "backslashreplace")
                self._stream.write(escaped.decode(error.encoding))
        except (OSError, ValueError) as error:  # The latter if the stream is closed.
            self._end(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what is held back, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._end(error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _end(self, error: Exception) -> None:
        if self.trouble is None:
            reason = getattr(error, "strerror", None) or error
            self.trouble = f"nothing more can be written to the output ({reason})"
            _let_go(self._stream)


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn a ValueError, which is the caller's fault by our rules, into one line and exit code 2.

    Only for code that takes in what the user gave; further in, a ValueError is a bug.
    """
    try:
        yield
    except ValueError as error:
        complain(str(error))
        raise SystemExit(USER_MISTAKE) from None


def complain(message: str) -> None:
    """One line on stderr about what went wrong."""
    _to_stderr(f"error: {printable(' '.join(message.split()))}\n")


def warn(message: str) -> None:
    """One line on stderr about what could not be done, but need not stop anybody."""
    _to_stderr(f"warning: {printable(' '.join(message.split()))}\n")


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # There is nobody left to tell.
        sys.stderr.write(line)


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{printable(line)}\n")


def printable(text: str) -> str:
    """The text on one line, without what could steer a terminal: a file can be called anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
