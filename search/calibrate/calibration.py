"""`Calibration`: what the trials of a calibration say, and the settings that follow from it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from records.outcome import State
from records.trial import TrialRecord
from search.calibrate.numbers import (
    Agreement,
    Confirmation,
    Noise,
    agreements,
    at_shares,
    confirmations,
    doublings,
    seed_noise,
    trials_that_pay,
)
from search.calibrate.pruning import Effect, effects

FEWEST = 4
"""Complete points below which nothing is said."""
_PAYS = 0.5
"""In standard deviations over seeds: what doubling the trials has to bring."""
_NOTICED = 0.001  # The least difference of accuracies that anybody would pay for.


@dataclass(frozen=True)
class Calibration:
    """What complete trainings of random points tell.

    Attributes:
        curves: `(points, epochs)` scores of the first training of every point, best end first.
        ends: The results of each of them with all its seeds, the first training's first.
        recipe: Which of them is the recipe's own; None = it is not complete.
        left_out: Trials that did not end complete.
    """

    curves: np.ndarray
    ends: tuple[tuple[float, ...], ...]
    recipe: int | None
    left_out: int

    @classmethod
    def of(cls, trials: Sequence[TrialRecord]) -> "Calibration":
        """That of a study's trials.

        Raises:
            ValueError: In one sentence, if too few of them are complete, or are too short.
        """
        done = [t for t in trials if t.result is not None and t.curve and t.index is not None]
        by_point: dict[str, list[TrialRecord]] = {}
        for trial in sorted(done, key=lambda t: t.index or 0):
            by_point.setdefault(json.dumps(trial.params, sort_keys=True), []).append(trial)
        points = sorted(by_point.values(), key=lambda same: -(same[0].result or 0.0))
        if len(points) < FEWEST or min(len(same[0].curve) for same in points) < 2:
            raise ValueError(
                f"a calibration needs {FEWEST} complete points of at least 2 epochs, but got "
                f"{len(points)}: ask for more --points, or for more epochs under [training]"
            )
        curves = [[same[0].curve[e] for e in sorted(same[0].curve)] for same in points]
        firsts = [n for n, same in enumerate(points) if same[0].index == 0]
        return cls(
            at_shares(curves),
            tuple(tuple(t.result for t in same if t.result is not None) for same in points),
            firsts[0] if firsts else None,
            sum(t.state in (State.PRUNED, State.FAILED) for t in trials),
        )

    @property
    def points(self) -> int:
        """How many there are."""
        return len(self.ends)

    @property
    def results(self) -> np.ndarray:
        """Results of the first trainings of the random points: all but the recipe's own."""
        return np.array([own[0] for n, own in enumerate(self.ends) if n != self.recipe])

    @cached_property
    def agreements(self) -> list[Agreement]:
        """How well each epoch ranks the end."""
        return agreements(self.curves)

    @cached_property
    def noise(self) -> Noise | None:
        """What a seed changes; None if no point was trained twice."""
        return seed_noise(self.ends)

    @property
    def sd(self) -> float:
        """Its standard deviation, 0 if it is not known."""
        return self.noise.sd.value if self.noise else 0.0

    @cached_property
    def doublings(self) -> list[tuple[int, float]]:
        """Numbers of random trials, and the expected best of them."""
        return doublings(self.results)

    @cached_property
    def trials(self) -> int:
        """How many trials pay."""
        return max(10, trials_that_pay(self.results, max(_PAYS * self.sd, _NOTICED)))

    @cached_property
    def effects(self) -> list[Effect]:
        """What pruning rules would have done, the one that saves most first."""
        return sorted(effects(self.curves), key=lambda effect: -effect.saved)

    @property
    def rule(self) -> Effect | None:
        """The one that saves most of those that lose nothing worth mentioning; None = none."""
        most = max(self.sd / 10, _NOTICED / 2)
        return next((e for e in self.effects if e.lost <= most and e.saved > 0), None)

    @cached_property
    def confirmations(self) -> list[Confirmation]:
        """What confirming the best few leaves."""
        return confirmations(self.results, self.sd, self.trials)

    @property
    def confirmation(self) -> Confirmation:
        """The cheapest that is nearly as good as the best of them."""
        known = self.confirmations
        least = min(c.regret for c in known) + max(self.sd / 10, _NOTICED / 2)
        return min((c for c in known if c.regret <= least), key=lambda c: c.trainings)

    def settings(self) -> dict[str, Any]:
        """The keys of a search's config that follow."""
        rule, chosen = self.rule, self.confirmation
        return {
            "trials": self.trials,
            "study": {"pruner": "none"} if rule is None else dict(rule.study),
            "confirm": {"top": chosen.top, "seeds": chosen.seeds},
        }


def laid_over_all(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with some keys changed."""
    merged = dict(tables)
    for key, value in changes.items():
        old = merged.get(key)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = laid_over_all(old, value)
        else:
            merged[key] = value
    return merged
