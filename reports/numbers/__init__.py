"""The numbers of a report: pure functions from plain values to plain, frozen values."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict


class Numbers(BaseModel):
    """Numbers that belong together. Accuracies and shares are in [0, 1], times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def best_so_far(values: Sequence[float | None]) -> list[float | None]:
    """The highest value up to each place; None before the first."""
    best: float | None = None
    found = []
    for value in values:
        if value is not None and (best is None or value > best):
            best = value
        found.append(best)
    return found
