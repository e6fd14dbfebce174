"""What all numbers have in common: frozen, plain, and JSON has them without NaN."""

import math
from collections.abc import Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from studies.records import TrialRecord


class Numbers(BaseModel):
    """Numbers that belong together. Accuracies and shares are in [0, 1], times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Kind = Literal[
    "complete", "pruned", "diverged", "out of memory", "timed out",
    "failed", "running", "waiting", "handed back",
]  # fmt: skip
"""How a trial stands: its state, with the reasons for pruning told apart."""


def kind_of(trial: TrialRecord) -> Kind:
    """How a trial stands."""
    if trial.state != "pruned" or trial.reason is None:
        return trial.state
    starts: dict[str, Kind] = {
        "diverged": "diverged",
        "out of memory": "out of memory",
        "over the trial_timeout": "timed out",
    }
    return next((kind for text, kind in starts.items() if trial.reason.startswith(text)), "pruned")


def finite(value: float | None) -> float | None:
    """The value, or None for NaN and infinity."""
    return value if value is not None and math.isfinite(value) else None


def value_of(trial: TrialRecord) -> float | None:
    """The result of a complete trial; None for others."""
    return finite(trial.value) if trial.state == "complete" else None


def ranked(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The complete trials with a finite value, best first; of equal ones the earlier first."""
    known = [(value, trial) for trial in trials if (value := value_of(trial)) is not None]
    return [trial for _, trial in sorted(known, key=lambda pair: (-pair[0], pair[1].number))]


def best_so_far(values: Sequence[float | None]) -> list[float | None]:
    """The highest value up to each place; None before the first."""
    best: float | None = None
    found = []
    for value in values:
        if value is not None and (best is None or value > best):
            best = value
        found.append(best)
    return found
