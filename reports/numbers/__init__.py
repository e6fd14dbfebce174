"""The numbers of a report: pure functions from plain values to plain, frozen values."""

import math
from collections.abc import Sequence
from itertools import accumulate

from pydantic import BaseModel, ConfigDict


class Numbers(BaseModel):
    """Numbers that belong together. Accuracies and shares are in [0, 1], times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def best_so_far(values: Sequence[float | None]) -> list[float | None]:
    """The highest value up to each place; None before the first."""
    highest = accumulate((-math.inf if value is None else value for value in values), max)
    return [None if best == -math.inf else best for best in highest]
