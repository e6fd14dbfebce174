"""What fits in a budget: probes, fine-tunings, the last trial, confirmations; measured, not hoped.

Without a budget, everything fits. All times are estimates from what was measured: the speeds
before the first trial, then the trials' own durations.
"""

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from records.outcome import State
from records.trial import TrialRecord, ranked
from records.words import duration
from search.plan.clock import (
    FEATURES,
    VIEWS,
    Clock,
    Speeds,
    after_trainings,
    fitting_resolution,
)
from search.plan.plan import Plan
from space import Choice, Int, Space
from studies.broker import Given, Policy
from train_core.config import Method

PROBING = 0.5
"""Share of a budget after which probes give way to fine-tunings, where these fit."""
RESERVE = 1 / 3
"""Share of it, at most, that is kept for confirming the best trials as often as was asked for."""
_FINAL = 1.2  # The final training in units of a training.
_CAUTION = 1.2  # What is not measured yet takes longer than its steps alone.


def with_clock(plan: Plan, began: float, workers: int, speeds: Speeds) -> Plan:
    """The plan with its budget as a clock that runs, and what its probes can afford."""
    if (budget := plan.config.budget) is None:
        return plan
    clock = Clock(began=began, seconds=budget, workers=workers, speeds=speeds)
    test, side = plan.data.test.count, plan.side
    if speeds.features is None or "probe" not in plan.methods:
        return _timed(plan, clock, after=after_trainings(test, speeds))
    learned = plan.final_count
    fits = fitting_resolution(side, learned + 2 * test, speeds.features, FEATURES * budget)
    scale = (fits / side) ** 2
    per_view = scale * (learned if plan.folds > 1 else plan.train_count) / speeds.features
    return _timed(
        plan,
        clock,
        resolution=None if fits == side else fits,
        views=max(int(VIEWS * budget / per_view), plan.training.views),
        per_view=per_view,
        after=after_trainings(test, speeds, scale),
    )


def _final(plan: Plan) -> float:
    """The final training in units of a trial: the images that were held out are trained on too."""
    return _FINAL / plan.folds


def _timed(plan: Plan, clock: Clock, **changes: Any) -> Plan:
    return plan.model_copy(update={"clock": clock.model_copy(update=changes)})


@dataclass(frozen=True)
class Ration(Policy):
    """The policy of a plan."""

    plan: Plan

    def may_start(self, trials: Sequence[TrialRecord]) -> bool:
        """Whether another trial fits in the budget."""
        return may_start(self.plan, trials, time.time())

    def settle(self, index: int, trials: Sequence[TrialRecord]) -> Given:
        """Its method, and what goes with it."""
        return settled_for(self.plan, index, trials, time.time())


def settled_for(plan: Plan, index: int, trials: Sequence[TrialRecord], now: float) -> Given:
    """What is settled for the trial in this place of the search before it is sampled.

    A fine-tuning begins with the head of the best probe so far (Kumar et al., 2022), which the
    same `l2` on the same pictures gives again.
    """
    if plan.probes is None:
        return Given()
    if next_method(plan, index, trials, now) == "probe":
        clock = plan.clock or Clock(began=now, seconds=0)
        values: dict[str, Any] = {"method": "probe", "epochs": 1, "resolution": clock.resolution}
        limits = {"views": clock.views, "resolution": clock.resolution}
        return Given(values, {key: most for key, most in limits.items() if most is not None})
    probes = [t for t in ranked(trials) if t.method == "probe" and t.config]
    best = (probes[0].config or {}) if probes else plan.training.model_dump()
    values = {"method": "fine_tune", "views": 0, "l2": best["l2"], "levels": best.get("levels", 0)}
    most = {"epochs": epochs_that_fit(plan, trials, now)} if plan.clock else {}
    begun = any(t.method == "fine_tune" for t in trials if t.index != index)
    return Given(values, most, {} if begun else _recipe_point(plan, most))


def _recipe_point(plan: Plan, at_most: dict[str, int]) -> dict[str, Any]:
    """Parameter name -> value of the recipe's fine-tuning, as far as they lie in the space."""
    space = plan.space.at_most(at_most)
    usual = plan.training.epochs
    # Small data have more epochs than the recipe says, perhaps none that is searched.
    nearest = min(_lengths(space), key=lambda n: abs(n - usual), default=usual)
    return space.names_of({**plan.fixed, "method": "fine_tune", "epochs": nearest})[0]


def _lengths(space: Space) -> list[int]:
    """Numbers of epochs that are searched; empty if they are not."""
    searched = [p for n, p in space.parameters.items() if (p.sets or n) == "epochs"]
    found: list[int] = []
    for one in searched:
        if isinstance(one, Int):
            found += range(one.low, one.high + 1, one.step)
        elif isinstance(one, Choice):
            found += [n for n in one.choices if isinstance(n, int)]
    return found


def next_method(plan: Plan, index: int, trials: Sequence[TrialRecord], now: float) -> Method:
    """What the trial in this place of the search does."""
    if plan.probes is None:
        return plan.training.method
    if index >= plan.probes:
        return "fine_tune"
    clock = plan.clock
    if clock is None or index == 0 or now - clock.began < PROBING * clock.seconds:
        return "probe"
    return "fine_tune" if _fine_tuning_fits(plan, trials, now) else "probe"


def may_start(plan: Plan, trials: Sequence[TrialRecord], now: float) -> bool:
    """Whether another trial may start, so that what follows the trials still fits.

    Without a result there would be nothing to export: then one starts while time is left, and the
    very first one always, since a late model is better than none.
    """
    if (clock := plan.clock) is None:
        return True
    results = ranked(trials)
    if not results:
        return now < clock.ends or all(t.state == State.REQUEUED for t in trials)
    index = sum(t.state != State.REQUEUED for t in trials)
    method = next_method(plan, index, trials, now)
    if method == "fine_tune" and plan.probes is not None:
        return _fine_tuning_fits(plan, trials, now)
    expected = _usual_seconds(plan, method, trials)
    if method == "probe":
        now += clock.per_view * _views_to_come(plan, trials)
    return now + expected + reserve(plan, results, expected) <= clock.ends


def reserve(plan: Plan, results: Sequence[TrialRecord], expected: float = 0.0) -> float:
    """Seconds to keep for all that follows the trials, the best of which comes first.

    `expected` are those of a trial that may become the best one. At most a share of the budget is
    kept for more confirmations than one.
    """
    assert plan.clock is not None
    confirm = plan.config.confirm
    least = finishing(plan, results, 1, 1, expected)
    wanted = finishing(plan, results, confirm.top, confirm.seeds, expected)
    return min(wanted, max(least, RESERVE * plan.clock.seconds))


def finishing(
    plan: Plan, results: Sequence[TrialRecord], top: int, seeds: int, expected: float = 0.0
) -> float:
    """Seconds of confirming so many trials with so many seeds, the final training and the test."""
    clock = plan.clock
    assert clock is not None
    best = [(_seconds_again(t) or 0.0, repeats(t, seeds)) for t in results[:top]]
    longest = max([expected, *(seconds for seconds, _ in best)])
    trainings = sum(seconds * n for seconds, n in best)
    if expected > max((seconds for seconds, _ in best), default=0.0):
        trainings = max(trainings, expected * seeds)
    further = longest * seeds if top > 1 and any(n > 1 for _, n in best) else 0.0
    return (trainings + further) / clock.workers + _final(plan) * longest + clock.after


def _seconds_again(trial: TrialRecord) -> float | None:
    """Seconds of another training like a trial's: a probe finds the features that it computed."""
    if trial.method == "probe" and (spent := trial.history.get("seconds")):
        return sum(seconds or 0.0 for seconds in spent)
    return trial.training_seconds


def _views_to_come(plan: Plan, trials: Sequence[TrialRecord]) -> int:
    """How many views the next probe may be the first to need."""
    assert plan.clock is not None
    searched = [p for name, p in plan.space.parameters.items() if (p.sets or name) == "views"]
    most = max([plan.training.views, *(p.high for p in searched if isinstance(p, Int))])
    if plan.clock.views is not None:
        most = min(most, plan.clock.views)
    seen = [int(t.config.get("views", 0)) for t in trials if t.config and t.method == "probe"]
    return max(0, most - max(seen, default=0))


def repeats(trial: TrialRecord, seeds: int) -> int:
    """How often a trial is confirmed: what has no random part gives the same every time."""
    return 1 if trial.deterministic else seeds


def affordable(plan: Plan, results: Sequence[TrialRecord], now: float) -> tuple[int, int]:
    """How many candidates are confirmed with how many seeds: as asked for, or what still fits.

    Never fewer than one with one.
    """
    confirm, clock = plan.config.confirm, plan.clock
    if clock is None or not results:
        return confirm.top, confirm.seeds
    for top, seeds in _fewer(confirm.top, confirm.seeds):
        if now + finishing(plan, results, top, seeds) <= clock.ends:
            return top, seeds
    return 1, 1


def rationed(plan: Plan, trials: Sequence[TrialRecord], now: float) -> tuple[Plan, str | None]:
    """The plan with as many confirmations as there is time for, and a line if these are fewer."""
    asked = plan.config.confirm
    top, seeds = affordable(plan, ranked(trials), now)
    if plan.clock is None or (top, seeds) == (asked.top, asked.seeds):
        return plan, None
    line = (
        f"confirmations: {top} x {seeds} instead of {asked.top} x {asked.seeds}, since "
        f"{duration(plan.clock.left(now))} of the budget are left"
    )
    confirm = asked.model_copy(update={"top": top, "seeds": seeds})
    config = plan.config.model_copy(update={"confirm": confirm})
    return plan.model_copy(update={"config": config}), line


def _fewer(top: int, seeds: int) -> Iterator[tuple[int, int]]:
    """Candidates and seeds, ever fewer trainings; of as many, those with more candidates first."""
    pairs = [(k, m) for k in range(1, top + 1) for m in range(1, seeds + 1)]
    yield from sorted(pairs, key=lambda pair: (-pair[0] * pair[1], -pair[0]))


def epochs_that_fit(plan: Plan, trials: Sequence[TrialRecord], now: float) -> int:
    """Epochs of a fine-tuning that could still win: itself, a confirmation, the final training."""
    assert plan.clock is not None
    left = plan.clock.left(now) - plan.clock.after
    before, each = _fine_tuning_seconds(plan, trials)
    trials_to_come = 2 + _final(plan)
    return int((left / trials_to_come - before) / each) if each else 0


def least_epochs(plan: Plan) -> int:
    """Epochs of the shortest fine-tuning."""
    return min(_lengths(plan.space), default=plan.training.epochs)


def _fine_tuning_fits(plan: Plan, trials: Sequence[TrialRecord], now: float) -> bool:
    return epochs_that_fit(plan, trials, now) >= least_epochs(plan)


def _fine_tuning_seconds(plan: Plan, trials: Sequence[TrialRecord]) -> tuple[float, float]:
    """Seconds before the first epoch of a fine-tuning, and of each; (0, 0) = not known."""
    assert plan.clock is not None
    tuned = [t for t in trials if t.done and t.method == "fine_tune"]
    known = [(t.training_seconds, len(t.curve)) for t in tuned]
    rates = [plan.folds * seconds / epochs for seconds, epochs in known if seconds and epochs]
    if rates:  # What comes before the first epoch is in them.
        return 0.0, statistics.median(rates)
    if (speed := plan.clock.speeds.training) is None:
        return 0.0, 0.0
    # Its own head first: features at its own resolution, about a third of an epoch.
    each = _CAUTION * plan.clock.workers * plan.trial_images / speed
    return each / 3, each


def _usual_seconds(plan: Plan, method: Method, trials: Sequence[TrialRecord]) -> float:
    """Seconds that a trial takes, going by those of its kind or by the measured speed."""
    assert plan.clock is not None
    whole = [t for t in trials if t.state == State.COMPLETE and t.method == method]
    known = [_seconds_again(t) for t in whole]
    if seconds := [s for s in known if s is not None]:
        return statistics.median(seconds)
    if method == "probe" or (speed := plan.clock.speeds.training) is None:
        return 0.0
    images = plan.training.epochs * plan.trial_images
    return _CAUTION * plan.clock.workers * images / speed
