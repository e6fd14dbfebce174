"""optuna-dashboard beside a search, or the command that starts it."""

import shlex
import subprocess
import sys
from types import TracebackType
from typing import Self

from studies.dashboard.artifacts import artifacts_folder
from studies.storage import shown
from studies.study import Place


class Dashboard:
    """Serves the study for as long as it is entered, if it was asked for.

    Attributes:
        url: Where it answers; None if it was not asked for or did not start.
    """

    def __init__(self, place: Place, wanted: bool) -> None:
        """Remember what to serve; the study must exist by the time this is entered."""
        self._storage, self._wanted = place.url, wanted
        self._artifacts = str(artifacts_folder(place.folder))
        self._process: subprocess.Popen[str] | None = None
        self.url: str | None = None

    def __enter__(self) -> Self:
        """Start it, if it was asked for; a search goes on without one that does not start."""
        if self._wanted:
            command = [sys.executable, "-m", "studies.dashboard", "--storage", "-"]
            self._process = subprocess.Popen(
                [*command, "--artifacts", self._artifacts],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            # Not as an argument: a URL can hold a password, and everybody sees arguments.
            self._process.stdin.write(f"{self._storage}\n")
            self._process.stdin.flush()
            self.url = self._process.stdout.readline().strip() or None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()

    def in_words(self) -> str:
        """How to watch the search."""
        if self.url is not None:
            return f"watch   {self.url}"
        folder = shlex.quote(self._artifacts)
        return f"watch   optuna-dashboard {shown(self._storage)} --artifact-dir {folder}"
