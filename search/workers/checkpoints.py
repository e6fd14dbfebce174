"""Where the trainings of a search keep their checkpoints, and when those go."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from records.trial import TrialRecord
from search.plan import Plan

if TYPE_CHECKING:
    from train_core.checkpoint import Checkpoint

_TRIAL, _CONFIRM, _FINAL = "trial", "confirm", "final"
_FOLDER = "checkpoints"


def checkpoint_of_trial(plan: Plan, index: int) -> "Checkpoint":
    """That of a trial, by its place in the search, which it keeps when it is run again."""
    return _checkpoint(plan, f"{_TRIAL}-{index}")


def checkpoint_of_confirmation(plan: Plan, trial: int, seed: int) -> "Checkpoint":
    """That of one confirmation, by the trial's number and the count of seeds."""
    return _checkpoint(plan, f"{_CONFIRM}-{trial}-{seed}")


def checkpoint_of_final(plan: Plan, attempt: int) -> "Checkpoint":
    """That of the final training."""
    return _checkpoint(plan, f"{_FINAL}-{attempt}")


def sweep_trials(plan: Plan, trials: Sequence[TrialRecord]) -> None:
    """Remove the checkpoints of trials that have ended.

    A process that is killed between telling how a trial ended and removing its checkpoint leaves
    one behind.
    """
    for trial in trials:
        if trial.state in ("complete", "pruned", "failed") and trial.index is not None:
            _remove(plan, f"{_TRIAL}-{trial.index}.safetensors*")
    _remove_if_empty(plan)


def sweep_finish(plan: Plan) -> None:
    """Remove the checkpoints of confirmations and final training: the winner is exported."""
    for kind in (_CONFIRM, _FINAL):
        _remove(plan, f"{kind}-*")
    _remove_if_empty(plan)


def _checkpoint(plan: Plan, name: str) -> "Checkpoint":
    from train_core.checkpoint import Checkpoint

    return Checkpoint(_path(plan, name), plan.config.workers.checkpoint_every)


def _path(plan: Plan, name: str) -> Path:
    return plan.folder / _FOLDER / f"{name}.safetensors"


def _remove(plan: Plan, pattern: str) -> None:
    # By pattern, since a kill in the middle of a write leaves a part of a file.
    for path in (plan.folder / _FOLDER).glob(pattern):
        path.unlink(missing_ok=True)


def _remove_if_empty(plan: Plan) -> None:
    with suppress(OSError):  # Not empty, or not there.
        (plan.folder / _FOLDER).rmdir()
