"""`SearchResult`: what a search came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.display.counts import Counts
from studies.study import Place


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    Attributes:
        place: Where the study is.
        counts: Where the study stands.
        interrupted: Number of the signal that ended it early; None = none.
        metrics: The content of `best/metrics.json`; None if there is no export (yet).
    """

    place: Place
    counts: Counts
    interrupted: int | None
    metrics: dict[str, Any] | None

    @property
    def study(self) -> str:
        """Name of the study."""
        return self.place.name

    @property
    def folder(self) -> Path:
        """The study's folder; an export is in `best/` below it."""
        return self.place.folder

    @property
    def exit_code(self) -> int:
        """0 with an export, 1 without one, 128 and the signal's number after an interrupt."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return 0 if self.metrics is not None else 1
