"""`SearchResult`: what a search came to."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.counts import Counts


@dataclass(frozen=True)
class SearchResult:
    """What a search came to.

    Attributes:
        study: Name of the study.
        folder: The study's folder.
        counts: Where the study stands.
        interrupted: Number of the signal that ended it early; None = none.
        metrics: The content of `best/metrics.json`; None if there is no export (yet).
    """

    study: str
    folder: Path
    counts: Counts
    interrupted: int | None
    metrics: dict[str, Any] | None

    @property
    def exit_code(self) -> int:
        """0 with an export, 1 without one, 128 and the signal's number after an interrupt."""
        if self.interrupted is not None:
            return 128 + self.interrupted
        return 0 if self.metrics is not None else 1
