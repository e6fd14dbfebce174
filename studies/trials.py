"""A study as plain, frozen values, which reports and later steps see instead of Optuna's."""

import re
from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from records.outcome import Cause, State
from records.trial import TrialRecord
from studies.attributes import CAUSE, CONFIG, CONFIRMED, HISTORY, INDEX, OWNER, REASON, requeued

_STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
    TrialState.RUNNING: State.RUNNING,
    TrialState.WAITING: State.WAITING,
}


def trial_records(study: Study) -> list[TrialRecord]:
    """All trials, by number."""
    trials = study.get_trials(deepcopy=False)
    ignored = requeued(trials)
    return [_record(trial, trial.number in ignored) for trial in trials]


def confirmations(study: Study) -> dict[int, list[float]]:
    """Number of each confirmed trial -> validation accuracy per fresh seed, in [0, 1]."""
    found: dict[int, dict[int, float]] = {}
    pattern = re.compile(CONFIRMED.format(trial=r"(\d+)", seed=r"(\d+)"))
    for name, value in study.user_attrs.items():
        if match := pattern.fullmatch(name):
            found.setdefault(int(match[1]), {})[int(match[2])] = float(value)
    return {trial: [seeds[s] for s in sorted(seeds)] for trial, seeds in sorted(found.items())}


def _record(trial: FrozenTrial, stopped: bool) -> TrialRecord:
    return TrialRecord(
        number=trial.number,
        index=trial.user_attrs.get(INDEX),
        state=State.REQUEUED if stopped else _STATES[trial.state],
        accuracy=trial.value if trial.state.is_finished() else None,
        params=dict(trial.params),
        config=trial.user_attrs.get(CONFIG),
        curve=dict(trial.intermediate_values),
        history=trial.user_attrs.get(HISTORY, {}),
        cause=_cause(trial),
        reason=trial.user_attrs.get(REASON),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        worker=_worker(trial.user_attrs.get(OWNER)),
    )


def _cause(trial: FrozenTrial) -> Cause | None:
    """Why it was pruned or failed; 0.1.0 wrote a sentence only."""
    if (cause := trial.user_attrs.get(CAUSE)) is not None:
        return Cause(cause)
    reason = trial.user_attrs.get(REASON)
    if reason is None or trial.state not in (TrialState.PRUNED, TrialState.FAIL):
        return None
    otherwise = Cause.RULE if trial.state == TrialState.PRUNED else Cause.ERROR
    return next((c for start, c in _CAUSES.items() if reason.startswith(start)), otherwise)


_CAUSES = {
    "diverged": Cause.DIVERGED,
    "out of memory": Cause.OUT_OF_MEMORY,
    "over the trial_timeout": Cause.TIMED_OUT,
    "its worker died": Cause.WORKER_DIED,
}


def _worker(signed: Mapping[str, Any] | None) -> str | None:
    return None if signed is None else f"{signed['host']}:{signed['pid']}"
