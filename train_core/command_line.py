"""What the commands share: a user's mistake is one line on stderr and exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer.exceptions import TyperException

USER_MISTAKE = 2
"""Exit code for what the user can mend: a flag, a file, a folder."""


def new_app() -> typer.Typer:
    """A command line without boxes and colours, which read badly in logs."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def run_app(app: typer.Typer) -> int:
    """Run a command and return its exit code."""
    try:
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        complain(f"{error.format_message().rstrip('.')} (--help lists the options)")
        return USER_MISTAKE
    except typer.Exit as done:
        return done.exit_code


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
    """One line on stderr."""
    sys.stderr.write(f"error: {' '.join(message.split())}\n")


def warn(message: str) -> None:
    """One line on stderr about what could not be done, but need not stop anybody."""
    sys.stderr.write(f"warning: {' '.join(message.split())}\n")
