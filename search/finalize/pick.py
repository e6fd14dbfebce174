"""Which trial is exported: the winner of the confirmations, or one that was picked."""

from collections.abc import Sequence

from records.outcome import State
from records.trial import TrialRecord, front, knee
from search.plan import Plan


def picked_trial(plan: Plan, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The trial that somebody picked, or the config; None = the confirmations decide."""
    pick = plan.pick or plan.config.confirm.pick
    return None if pick == "winner" else trial_called(pick, trials)


def trial_called(pick: str, trials: Sequence[TrialRecord]) -> TrialRecord | None:
    """The complete trial of this number, or the knee of the front; None for `winner`.

    Raises:
        ValueError: In one sentence, if there is none.
    """
    found = front(trials)
    if pick == "winner":
        return None
    if pick == "knee":
        if (bend := knee(found)) is None:
            raise ValueError(
                "the knee is a trial of a front, but the study has none: search with several "
                "[study] objectives, or pick a trial by its number"
            )
        return bend
    for trial in trials:
        if str(trial.number) == pick and trial.state == State.COMPLETE:
            return trial
    numbers = ", ".join(str(t.number) for t in found)
    on_front = f"; on the front are {numbers}" if found else ""
    raise ValueError(
        f"pick must be the number of a complete trial, 'knee' or 'winner', but got "
        f"'{pick}'{on_front}"
    )


def to_confirm(
    plan: Plan, order: Sequence[TrialRecord], picked: TrialRecord | None
) -> list[TrialRecord]:
    """The trials to confirm, the best of the search first.

    It is among them whatever was picked, since the selection gap is its own.
    """
    if picked is None:
        return list(order[: plan.config.confirm.top])
    return [order[0]] if picked.number == order[0].number else [order[0], picked]
