"""What is written on trials and studies besides what Optuna keeps itself, and how it is read."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from records.outcome import Cause, State
from records.trial import TrialRecord

# The trial's place in the search; a trial that is run again keeps it, its number changes.
INDEX = "index"
# Parameter name -> value, on trials whose values were given and not sampled.
ENQUEUED = "enqueued"
# What was settled for the trial before it was sampled, see `studies.broker.Given`.
GIVEN = "given"
# Number of the trial, stopped from outside or paused, that this one runs again.
RETRY_OF = "retry_of"
SPENT = "spent"  # Seconds of its earlier runs, up to pauses.
# How often in a row the worker of this trial died without getting further than before.
DEATHS = "deaths"
PASSED = "furthest"  # Epochs after which earlier runs of this trial were told to go on.
# The epoch at which the pruner stopped the trial, written before that epoch is reported.
PRUNED_AT = "pruned_at"
OWNER = "owner"  # The process that runs the trial, see `studies.broker.owner.Owner`.
CAUSE = "cause"  # Why a trial was pruned or failed, one of `records.outcome.Cause`.
REASON = "reason"  # The same in words.
# The training's whole config, written before it starts, so that any trial can be replayed.
CONFIG = "config"
# Of which other study's trial it is a copy or has the values, see `records.trial.Origin`.
ORIGIN = "origin"
AUDITED = "audited"  # The epoch at which the pruner would have stopped a trial that went on.
FOLDS = "folds"  # How many such trainings in turn the trial is; absent = one.
# Field of the epoch records -> one value per epoch, written when the trial ends.
HISTORY = "history"
COSTS = "costs"  # Name -> what a complete trial cost, in the order of the study's objectives.
ATTACHED = "attached"  # Name -> id of the files that were attached to the study.
# The study's attribute with the validation accuracy of one confirmation.
CONFIRMED = "confirmed:{trial}:{seed}"
# The same of the winner with further seeds, which had no part in choosing it.
FURTHER = "confirmed_further:{trial}:{seed}"
# The study's attribute that counts evaluations on the test images: an honest study has one.
TEST_EVALUATIONS = "test_evaluations"
EXPORTED = "exported"  # Where the last export is: host and folder, and of which trial it is.
# The study's attribute with what trained on a host: device, precision and versions, in words.
MACHINE = "machine:{host}"

STATES: Mapping[TrialState, State] = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAILED,
    TrialState.RUNNING: State.RUNNING,
    TrialState.WAITING: State.WAITING,
}

_CAUSES = {
    "diverged": Cause.DIVERGED,
    "out of memory": Cause.OUT_OF_MEMORY,
    "over the trial_timeout": Cause.TIMED_OUT,
    "its worker died": Cause.WORKER_DIED,
}


def requeued(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the trials that were stopped from outside, or paused, and enqueued again.

    They count for nothing: neither for the total, nor as failures, nor for seeds.
    """
    return {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}


def origin_of(trial: FrozenTrial) -> dict[str, Any] | None:
    """Which other study's trial it is a copy of or has the values of; None = of none."""
    found: dict[str, Any] | None = trial.user_attrs.get(ORIGIN)
    return found


def taken_over(trial: FrozenTrial) -> bool:
    """Whether another study ran it: it does not count towards this one's total."""
    return (origin_of(trial) or {}).get("how") == "taken over"


def index_of(study: Study, trial: FrozenTrial | Trial) -> int:
    """The trial's place in the search, as it would be if nothing had ever been interrupted."""
    if INDEX in trial.user_attrs:
        return int(trial.user_attrs[INDEX])
    trials = study.get_trials(deepcopy=False)
    return len(set(range(trial.number)) - requeued(trials))


def trial_records(study: Study) -> list[TrialRecord]:
    """All trials, by number."""
    trials = study.get_trials(deepcopy=False)
    ignored = requeued(trials)
    return [_record(trial, trial.number in ignored) for trial in trials]


def confirmations(study: Study, attribute: str = CONFIRMED) -> dict[int, list[float]]:
    """Number of each confirmed trial -> validation accuracy per fresh seed, in [0, 1]."""
    found: dict[int, dict[int, float]] = {}
    pattern = re.compile(attribute.format(trial=r"(\d+)", seed=r"(\d+)"))
    for name, value in study.user_attrs.items():
        if match := pattern.fullmatch(name):
            found.setdefault(int(match[1]), {})[int(match[2])] = float(value)
    return {trial: [seeds[s] for s in sorted(seeds)] for trial, seeds in sorted(found.items())}


def _record(trial: FrozenTrial, stopped: bool) -> TrialRecord:
    owner = trial.user_attrs.get(OWNER)
    return TrialRecord(
        number=trial.number,
        index=trial.user_attrs.get(INDEX),
        state=State.REQUEUED if stopped else STATES[trial.state],
        accuracy=_accuracy(trial),
        params=dict(trial.params),
        config=trial.user_attrs.get(CONFIG),
        folds=int(trial.user_attrs.get(FOLDS, 1)),
        curve=dict(trial.intermediate_values),
        history=trial.user_attrs.get(HISTORY, {}),
        cause=_cause(trial),
        reason=trial.user_attrs.get(REASON),
        started=trial.datetime_start,
        ended=trial.datetime_complete,
        worker=owner and f"{owner['host']}:{(owner.get('actor') or '')[:8] or owner['pid']}",
        spent=float(trial.user_attrs.get(SPENT, 0.0)),
        origin=origin_of(trial),
        audited=trial.user_attrs.get(AUDITED),
        costs=trial.user_attrs.get(COSTS, {}),
    )


def _accuracy(trial: FrozenTrial) -> float | None:
    """The first value; Optuna gives a pruned trial none where there are several objectives."""
    if not trial.state.is_finished():
        return None
    if trial.values:
        return float(trial.values[0])
    if trial.state != TrialState.PRUNED or not trial.intermediate_values:
        return None
    return float(trial.intermediate_values[max(trial.intermediate_values)])


def _cause(trial: FrozenTrial) -> Cause | None:
    """Why it was pruned or failed; 0.1.0 wrote a sentence only."""
    if (cause := trial.user_attrs.get(CAUSE)) is not None:
        return Cause(cause)
    reason = trial.user_attrs.get(REASON)
    if reason is None or trial.state not in (TrialState.PRUNED, TrialState.FAIL):
        return None
    otherwise = Cause.RULE if trial.state == TrialState.PRUNED else Cause.ERROR
    return next((c for start, c in _CAUSES.items() if reason.startswith(start)), otherwise)
