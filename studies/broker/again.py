"""Trials that go on as new ones, since Optuna runs none again that has ended."""

from collections.abc import Mapping
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from records.outcome import State
from studies import attributes as keys
from studies.algorithms.promotion import Promote
from studies.attributes import index_of, requeued, trial_records


def take_up(study: Study, promote: Promote, *, last: bool) -> bool:
    """Enqueue the paused trial that is to go on, if there is one; call it under the study's lock.

    `last`: whether there will be no new points.
    """
    trials = trial_records(study)
    # What one that waits will bring comes first, so that an interruption changes nothing.
    if any(t.state == State.WAITING for t in trials):
        return False
    if (chosen := promote.next(trials, last=last)) is None:
        return False
    paused = study.get_trials(deepcopy=False)[chosen.number]
    changes = {keys.PASSED: max(chosen.curve), keys.SPENT: chosen.training_seconds}
    _enqueue_again(study, paused, changes)
    return True


def deaths_of(trial: FrozenTrial) -> int:
    """Of the runs in a row that did not get further than the one before, with this one."""
    further = len(trial.intermediate_values) > trial.user_attrs.get(keys.PASSED, 0)
    return 1 if further else int(trial.user_attrs.get(keys.DEATHS, 0)) + 1


def run_again(study: Study, trial: FrozenTrial, deaths: int) -> None:
    """Enqueue a trial again, then end it; a kill between the two does no harm."""
    if trial.number not in requeued(study.get_trials(deepcopy=False)):
        about, reported = trial.user_attrs, len(trial.intermediate_values)
        passed = min(reported, int(about.get(keys.PRUNED_AT, reported + 1)) - 1)
        passed = max(passed, int(about.get(keys.PASSED, 0)))
        spent = about.get(keys.SPENT)
        changes = {keys.DEATHS: deaths, keys.PASSED: passed, keys.SPENT: spent}
        _enqueue_again(study, trial, changes)
    study.tell(trial.number, state=TrialState.FAIL)


def _enqueue_again(study: Study, trial: FrozenTrial, changes: Mapping[str, Any]) -> None:
    """Enqueue what goes on with a trial: the same point in the same place of the search."""
    about = trial.user_attrs
    # Without a config it was stopped before all values were there; without given ones, the
    # sampler draws the same again from the trial's index.
    values = trial.params if keys.CONFIG in about else about.get(keys.ENQUEUED)
    attributes = {
        keys.RETRY_OF: trial.number,
        keys.INDEX: index_of(study, trial),
        keys.ENQUEUED: values,
        **{key: about.get(key) for key in (keys.GIVEN, keys.ORIGIN, keys.AUDITED)},
        **changes,
    }
    known = {key: value for key, value in attributes.items() if value is not None}
    study.enqueue_trial(values or {}, user_attrs=known)
