"""Who runs which trial, so that a study ends with exactly as many as it was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from studies.attributes import (
    CONFIG,
    DEATHS,
    ENQUEUED,
    FURTHEST,
    INDEX,
    OWNER,
    REASON,
    RETRY_OF,
    Owner,
    handed_back,
    index_of,
    owner_of,
)
from studies.heartbeat import is_gone
from studies.study import Place

MAX_FAILURES = 5
"""Failures in a row that end a search: by then it is the machine and not the parameters."""

MAX_DEATHS = 3
"""Deaths of its worker in a row, without getting further, after which a trial is given up."""


class TooManyFailures(Exception):
    """The last trials of this search all failed; the message names the first one's cause."""


@dataclass(frozen=True)
class Claim:
    """What a worker got when it asked for a trial.

    Attributes:
        trial: The trial to run; None if there is none at the moment.
        wait: Without a trial: whether others are still running some, which may come back.
        given_up: Number -> reason of the trials that were found to kill their workers.
    """

    trial: Trial | None
    wait: bool = False
    given_up: Mapping[int, str] = field(default_factory=dict)


class Ledger:
    """Hands out trials and takes them back, under one lock for all processes.

    Args:
        study: The study, with its sampler.
        place: Where it is.
        total: Trials that the study should end with, complete and pruned ones together.
    """

    def __init__(self, study: Study, place: Place, total: int) -> None:
        """Sign for this process from now on; failures before now are not held against it."""
        self._study, self._total = study, total
        self._lock = place.lock()
        self._owner = Owner.this_process()
        self._before = {
            t.number for t in study.get_trials(deepcopy=False) if t.state.is_finished()
        }

    def claim(self) -> Claim:
        """Clear the trials of dead owners, count, and ask for one more if one is missing.

        Raises:
            TooManyFailures: The last few trials of this search all failed.
        """
        with self._lock:
            given_up = clear_dead(self._study)
            trials = self._study.get_trials(deepcopy=False)
            refuse_failing(trials, self._before)
            running = sum(t.state == TrialState.RUNNING for t in trials)
            if finished(trials) + running >= self._total:
                more = running > 0 and finished(trials) < self._total
                return Claim(None, more, given_up)
            trial = self._study.ask()
            frozen = self._study.get_trials(deepcopy=False)[trial.number]
            trial.set_user_attr(INDEX, index_of(self._study, frozen))
            trial.set_user_attr(OWNER, self._owner.model_dump())
            return Claim(trial, given_up=given_up)

    def hand_back(self, number: int) -> None:
        """Give up a running trial of this process, to be run again by whoever asks next."""
        with self._lock:
            trial = self._study.get_trials(deepcopy=False)[number]
            _run_again(self._study, trial, trial.user_attrs.get(DEATHS, 0))


def clear_dead(study: Study) -> dict[int, str]:
    """Enqueue again what dead owners were running; call it under the study's lock.

    A running trial that nobody signed for is one whose worker died while it was asking.

    Returns:
        Number -> reason of the trials that are given up instead, since worker after worker died
        at them and none got further than the one before.
    """
    given_up = {}
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    signs = study.user_attrs if running else {}
    for trial in running:
        owner = owner_of(trial)
        if owner is not None and not is_gone(owner, signs):
            continue
        if (deaths := _deaths(trial)) < MAX_DEATHS:
            _run_again(study, trial, deaths)
        else:
            given_up[trial.number] = _give_up(study, trial, deaths)
    return given_up


def _deaths(trial: FrozenTrial) -> int:
    """Deaths in a row without getting further, this one included."""
    further = len(trial.intermediate_values) > trial.user_attrs.get(FURTHEST, 0)
    return 1 if further else int(trial.user_attrs.get(DEATHS, 0)) + 1


def _give_up(study: Study, trial: FrozenTrial, deaths: int) -> str:
    epoch = len(trial.intermediate_values) + 1
    reason = f"its worker died {deaths} times, at last in epoch {epoch}"
    Trial(study, trial._trial_id).set_user_attr(REASON, reason)
    study.tell(trial.number, state=TrialState.FAIL)
    return reason


def finished(trials: list[FrozenTrial]) -> int:
    """How many trials count towards the total: complete and pruned ones."""
    return sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)


def refuse_failing(trials: list[FrozenTrial], before: set[int]) -> None:
    """Stop a search in which nothing works any more.

    Args:
        trials: All trials of the study.
        before: Numbers of trials that ended before this search began; not held against it.

    Raises:
        TooManyFailures: The last trials that ended, by number, all failed.
    """
    ignored = handed_back(trials) | before
    ended = [t for t in trials if t.state.is_finished() and t.number not in ignored]
    last = ended[-MAX_FAILURES:]
    if len(last) == MAX_FAILURES and all(t.state == TrialState.FAIL for t in last):
        cause = last[0].user_attrs.get(REASON, "unknown cause")
        raise TooManyFailures(
            f"{MAX_FAILURES} trials in a row failed, the first one (trial {last[0].number}) with: "
            f"{cause}"
        )


def _run_again(study: Study, trial: FrozenTrial, deaths: int) -> None:
    """Enqueue a trial again, then end it; a kill between the two does no harm."""
    if trial.number not in handed_back(study.get_trials(deepcopy=False)):
        furthest = max(len(trial.intermediate_values), trial.user_attrs.get(FURTHEST, 0))
        attributes: dict[str, Any] = {
            RETRY_OF: trial.number,
            INDEX: index_of(study, trial),
            DEATHS: deaths,
            FURTHEST: furthest,
        }
        # Without a config it was stopped before all values were there; without given ones, the
        # sampler draws the same again from the trial's index.
        values = trial.params if CONFIG in trial.user_attrs else trial.user_attrs.get(ENQUEUED)
        if values is not None:
            attributes[ENQUEUED] = values
        study.enqueue_trial(values or {}, user_attrs=attributes)
    study.tell(trial.number, state=TrialState.FAIL)
