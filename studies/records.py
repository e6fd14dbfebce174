"""A study as plain, frozen values, which reports and later steps see instead of Optuna's."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from pydantic import BaseModel, ConfigDict

from studies.attributes import CONFIG, CONFIRMED, HISTORY, INDEX, OWNER, REASON, handed_back

State = Literal["complete", "pruned", "failed", "running", "waiting", "handed back"]

_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}


class TrialRecord(BaseModel):
    """One trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    index: int | None
    """Its place in the search; a trial that is run again keeps it. None = not started."""

    state: State
    value: float | None
    """Validation accuracy in [0, 1]: the result of a complete trial, the last one of a pruned."""

    params: dict[str, Any]
    config: dict[str, Any] | None
    """The training's whole config; None = not started."""

    curve: dict[int, float]
    """Epoch, counted from 1 -> validation accuracy."""

    history: dict[str, list[float | None]]
    """Field of the epoch records -> one value per epoch; empty before the trial ended."""

    reason: str | None
    """Why it was pruned or failed."""

    started: datetime | None
    ended: datetime | None

    worker: str | None = None
    """Host and pid of the process that ran it, as `host:pid`; None = not started."""

    @property
    def seconds(self) -> float | None:
        """Wall time from start to end; None before the end."""
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


def trial_records(study: Study) -> list[TrialRecord]:
    """All trials, by number."""
    trials = study.get_trials(deepcopy=False)
    ignored = handed_back(trials)
    return [_record(trial, trial.number in ignored) for trial in trials]


def confirmations(study: Study) -> dict[int, list[float]]:
    """Number of each confirmed trial -> validation accuracy per fresh seed, in [0, 1]."""
    found: dict[int, dict[int, float]] = {}
    pattern = re.compile(CONFIRMED.format(trial=r"(\d+)", seed=r"(\d+)"))
    for name, value in study.user_attrs.items():
        if match := pattern.fullmatch(name):
            found.setdefault(int(match[1]), {})[int(match[2])] = float(value)
    return {trial: [seeds[s] for s in sorted(seeds)] for trial, seeds in sorted(found.items())}


def best_trials(trials: Sequence[TrialRecord], count: int) -> list[TrialRecord]:
    """The complete trials with the highest values, best first; of equal ones the earlier first."""
    complete = [t for t in trials if t.state == "complete" and t.value is not None]
    return sorted(complete, key=lambda t: (-(t.value or 0.0), t.number))[:count]


def _record(trial: FrozenTrial, stopped: bool) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        index=trial.user_attrs.get(INDEX),
        state="handed back" if stopped else _STATES[trial.state],
        value=trial.value if trial.state.is_finished() else None,
        params=dict(trial.params),
        config=trial.user_attrs.get(CONFIG),
        curve=dict(trial.intermediate_values),
        history=trial.user_attrs.get(HISTORY, {}),
        reason=trial.user_attrs.get(REASON),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        worker=_worker(trial.user_attrs.get(OWNER)),
    )


def _worker(signed: Mapping[str, Any] | None) -> str | None:
    return None if signed is None else f"{signed['host']}:{signed['pid']}"
