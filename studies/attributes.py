"""What is written on trials and studies besides what Optuna keeps itself, and how it is read."""

from collections.abc import Sequence

from optuna.study import Study
from optuna.trial import FrozenTrial

INDEX = "index"
"""The trial's place in the search; a trial that is run again keeps it, its number changes."""

ENQUEUED = "enqueued"
"""Parameter name -> value, on trials whose values were given and not sampled."""

RETRY_OF = "retry_of"
"""Number of the trial, stopped from outside, that this one runs again."""

DEATHS = "deaths"
"""How often in a row the worker of this trial died without getting further than before."""

PASSED = "furthest"
"""Epochs after which earlier runs of this trial were told to go on."""

PRUNED_AT = "pruned_at"
"""The epoch at which the pruner stopped the trial, written before that epoch is reported."""

OWNER = "owner"
"""The process that runs the trial, see `studies.owner.Owner`."""

CAUSE = "cause"
"""Why a trial was pruned or failed, one of `records.outcome.Cause`."""

REASON = "reason"
"""The same in words."""

CONFIG = "config"
"""The training's whole config, written before it starts, so that any trial can be replayed."""

HISTORY = "history"
"""Field of the epoch records -> one value per epoch, written when the trial ends."""

ATTACHED = "attached"
"""Name -> id of the files that were attached to the study."""

CONFIRMED = "confirmed:{trial}:{seed}"
"""The study's attribute with the validation accuracy of one confirmation."""

TEST_EVALUATIONS = "test_evaluations"
"""The study's attribute that counts evaluations on the test images: an honest study has one."""

MACHINE = "machine:{host}"
"""The study's attribute with what trained on a host: device, precision and versions, in words."""


def requeued(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the trials that were stopped from outside and enqueued again.

    They count for nothing: neither for the total, nor as failures, nor for seeds.
    """
    return {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}


def index_of(study: Study, trial: FrozenTrial) -> int:
    """The trial's place in the search, as it would be if nothing had ever been interrupted."""
    if INDEX in trial.user_attrs:
        return int(trial.user_attrs[INDEX])
    trials = study.get_trials(deepcopy=False)
    return len(set(range(trial.number)) - requeued(trials))
