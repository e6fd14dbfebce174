"""What the commands share: a user's mistake is one line on stderr and exit code 2."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer.exceptions import TyperException

USER_MISTAKE = 2
"""Exit code for what the user can mend: a flag, a study's name, a folder."""


def new_app() -> typer.Typer:
    """A command line without boxes and colours, which read badly in logs."""
    return typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def run_app(app: typer.Typer) -> int:
    """Run a command and return its exit code."""
    try:
        return int(app(standalone_mode=False) or 0)
    except TyperException as error:
        _complain(f"{error.format_message().rstrip('.')} (--help lists the options)")
        return USER_MISTAKE
    except typer.Exit as done:
        return done.exit_code


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn a ValueError, the caller's fault, and a folder that cannot be written into one line."""
    try:
        yield
    except ValueError as error:
        _complain(str(error))
        raise SystemExit(USER_MISTAKE) from None
    except OSError as error:
        where = f" '{error.filename}'" if error.filename else ""
        _complain(
            f"a report must be able to write its files, but{where}: {error.strerror or error}: "
            f"make room, give permission, or name another folder with --runs"
        )
        raise SystemExit(USER_MISTAKE) from None


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {' '.join(message.split())}\n")
