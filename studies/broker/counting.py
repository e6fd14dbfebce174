"""How many trials count towards a total, and whether too many in a row failed."""

from collections.abc import Sequence

from optuna.trial import FrozenTrial, TrialState

from studies import attributes as keys
from studies.attributes import requeued, taken_over
from studies.broker import TooManyFailures

# Failures in a row that end a search: by then it is the machine and not the parameters.
MAX_FAILURES = 5


def finished(trials: Sequence[FrozenTrial]) -> int:
    """How many trials count towards the total: complete, pruned and paused ones of this study.

    One that goes on after a pause counts once.
    """
    ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    return len({t.number for t in ended if not taken_over(t)} - requeued(trials))


def refuse_failing(trials: Sequence[FrozenTrial], before: set[int]) -> None:
    """Raise `TooManyFailures` if the last trials, by number, all failed.

    Args:
        trials: All trials of the study.
        before: Numbers of trials that ended before this search began; not held against it.
    """
    ignored = requeued(trials) | before
    ended = [t for t in trials if t.state.is_finished() and t.number not in ignored]
    last = ended[-MAX_FAILURES:]
    if len(last) == MAX_FAILURES and all(t.state == TrialState.FAIL for t in last):
        cause = last[0].user_attrs.get(keys.REASON, "unknown cause")
        raise TooManyFailures(
            f"{MAX_FAILURES} trials in a row failed, the first one (trial {last[0].number}) with: "
            f"{cause}"
        )
