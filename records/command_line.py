"""What the commands share: how they end, and how they print names that people have chosen."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from typer.exceptions import TyperException

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


def run_app(app: typer.Typer) -> int:
    """Run a command and return its exit code."""
    try:
        code = int(app(standalone_mode=False) or 0)
        sys.stdout.flush()
        return code
    except TyperException as error:
        complain(f"{error.format_message().rstrip('.')} (--help lists the options)")
        return USER_MISTAKE
    except typer.Exit as done:
        return done.exit_code
    except (typer.Abort, KeyboardInterrupt):
        complain("stopped; what is written is whole, run the same command again to go on")
        return 130
    except BrokenPipeError:
        # Whoever read our output has enough; the interpreter must not try to flush the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


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
    sys.stderr.write(f"error: {printable(' '.join(message.split()))}\n")


def warn(message: str) -> None:
    """One line on stderr about what could not be done, but need not stop anybody."""
    sys.stderr.write(f"warning: {printable(' '.join(message.split()))}\n")


def say(line: str) -> None:
    """One line on stdout."""
    sys.stdout.write(f"{printable(line)}\n")


def printable(text: str) -> str:
    """The text on one line, without what could steer a terminal: a file can be called anything."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
