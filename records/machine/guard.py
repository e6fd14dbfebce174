"""A new process imports the script that started it, which must not start a search once more."""

import os
import sys
from multiprocessing import current_process
from pathlib import Path

# What a process ends with that would have started others while it imported the script.
UNGUARDED = 79
_GUARD = 'if __name__ == "__main__":'


def refuse_unguarded() -> None:
    """Refuse to start processes where each would do it again; call it before every start.

    A process that is importing the script ends at once, with the exit code `UNGUARDED`.

    Raises:
        ValueError: In one sentence, if the script is no file.
    """
    # While a new process imports the script that started it, it has this mark.
    if getattr(current_process(), "_inheriting", False):
        os._exit(UNGUARDED)
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)
    if getattr(main, "__spec__", None) is None and file is not None and not Path(file).exists():
        raise ValueError(
            f"a search starts processes that import the script again, so it must be a file, but "
            f"it is {Path(file).name}: save it, and call the search below `{_GUARD}`"
        )


def no_guard() -> str:
    """The sentence about a script that calls a search while it is imported."""
    return (
        f"a search starts processes that import the script again, but importing it calls the "
        f"search: put the call below `{_GUARD}`"
    )
