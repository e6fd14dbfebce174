"""What decides how a search goes on, beside the number of its trials."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from records.outcome import State
from records.trial import TrialRecord, ranked
from search.plan.plan import Plan
from search.plan.ration import Ration
from studies.broker import Given, Policy
from studies.broker.plateau import Plateau


def policy_of(plan: Plan) -> Policy | None:
    """The policy of a search; None = there is none."""
    if plan.config.repeats:
        return Repeats(plan, Ration(plan))
    if (plateau := plateau_of(plan)) is not None:
        return plateau
    return None if plan.probes is None and plan.clock is None else Ration(plan)


def plateau_of(plan: Plan) -> Plateau | None:
    """The policy that stops when more trials would bring too little; None = not asked for."""
    asked = plan.config.study
    if asked.stop != "plateau":
        return None
    only_probes = plan.total is not None and (plan.probes or 0) >= plan.total
    method = "probe" if only_probes else plan.methods[-1]
    return Plateau(Ration(plan), asked.least_gain, method, 2 * asked.startup_trials)


@dataclass(frozen=True)
class Repeats(Policy):
    """What another policy says, but for the last trials, which have the points of earlier ones.

    They are those of a calibration: the best points again, with other seeds.
    """

    plan: Plan
    usual: Policy

    def may_start(self, trials: Sequence[TrialRecord]) -> bool:
        """What the usual policy says."""
        return self.usual.may_start(trials)

    def settle(self, index: int, trials: Sequence[TrialRecord]) -> Given:
        """As usual; one of the last trials takes a point that was repeated least so far."""
        given, total = self.usual.settle(index, trials), self.plan.total
        assert total is not None
        points = total - self.plan.config.repeats
        point = to_repeat(trials, points) if index >= points else None
        return given if point is None else replace(given, first=point.params)


def to_repeat(trials: Sequence[TrialRecord], points: int) -> TrialRecord | None:
    """The trial that is to be trained again; None if none is complete.

    Every other one of the better half, so that the noise is that of points which a search chooses
    between, and luck in the first training weighs little.

    Args:
        trials: All trials of the study.
        points: How many there are before the first repeated one, by index.
    """
    known = [t for t in ranked(trials) if t.index is not None and t.index < points]
    candidates = known[: (len(known) + 1) // 2 : 2]
    again = [t.params for t in trials if (t.index or 0) >= points and t.state not in _LOST]
    return min(candidates, key=lambda t: again.count(t.params), default=None)


_LOST = (State.FAILED, State.REQUEUED)
