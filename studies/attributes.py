"""What is written on trials and studies besides what Optuna keeps itself, and how it is read."""

import os
import socket
from collections.abc import Sequence
from functools import cache
from typing import Self

import psutil
from optuna.study import Study
from optuna.trial import FrozenTrial
from pydantic import BaseModel, ConfigDict

INDEX = "index"
"""The trial's place in the search; a trial that is run again keeps it, its number changes."""

ENQUEUED = "enqueued"
"""Parameter name -> value, on trials whose values were given and not sampled."""

RETRY_OF = "retry_of"
"""Number of the trial, stopped from outside, that this one runs again."""

DEATHS = "deaths"
"""How often in a row the worker of this trial died without getting further than before."""

FURTHEST = "furthest"
"""Epochs that earlier runs of this trial had reported at most."""

OWNER = "owner"
CAUSE = "cause"
"""Why a trial was pruned or failed, one of `records.outcome.Cause`."""

REASON = "reason"
"""Why a trial was pruned or failed, the same in words."""

CONFIG = "config"
"""The training's whole config, written before it starts, so that any trial can be replayed."""

HISTORY = "history"
"""Field of the epoch records -> one value per epoch, written when the trial ends."""

ATTACHED = "attached"
"""Name -> id of the files that were attached to the study."""

CONFIRMED = "confirmed:{trial}:{seed}"
"""The study's attribute with the validation accuracy of one confirmation."""

TEST_EVALUATIONS = "test_evaluations"
"""The study's attribute that counts the looks at the test set: an honest one has one."""

MACHINE = "machine:{host}"
"""The study's attribute with what trained on a host: device, precision and versions, in words."""


class Owner(BaseModel):
    """The process that runs a trial."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    pid: int
    started: float
    """Start of the process in seconds since the epoch: pids are used again."""

    session: int
    """The process that started it, which gives signs of life for it."""

    @classmethod
    def this_process(cls) -> Self:
        """The process that calls."""
        pid = os.getpid()
        started = psutil.Process(pid).create_time()
        return cls(host=this_host(), pid=pid, started=started, session=os.getppid())

    def is_dead(self) -> bool:
        """Whether the process is known to be gone; of other hosts nothing is known."""
        if self.host != this_host():
            return False
        try:
            process = psutil.Process(self.pid)
            zombie = process.status() == psutil.STATUS_ZOMBIE
            return zombie or abs(process.create_time() - self.started) > 1.0
        except psutil.NoSuchProcess:
            return True


def handed_back(trials: Sequence[FrozenTrial]) -> set[int]:
    """Numbers of the trials that were stopped from outside and enqueued again.

    They count for nothing: neither for the total, nor as failures, nor for seeds.
    """
    return {t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs}


def index_of(study: Study, trial: FrozenTrial) -> int:
    """The trial's place in the search, as it would be if nothing had ever been interrupted."""
    if INDEX in trial.user_attrs:
        return int(trial.user_attrs[INDEX])
    trials = study.get_trials(deepcopy=False)
    return len(set(range(trial.number)) - handed_back(trials))


def owner_of(trial: FrozenTrial) -> Owner | None:
    """Who runs the trial; None if nobody has signed for it yet."""
    signed = trial.user_attrs.get(OWNER)
    return None if signed is None else Owner.model_validate(signed)


@cache
def this_host() -> str:
    """What this machine is called."""
    return socket.gethostname()
