"""How long a search will take, in words: by measured speeds, or by the budget that it has."""

import time
from collections.abc import Iterator
from typing import Protocol

from records.words import count, duration
from search.plan import Plan
from search.plan.clock import FEATURES, Clock, Speeds
from search.plan.ration import epochs_that_fit, least_epochs


class Done(Protocol):
    """How far a study is."""

    @property
    def done(self) -> int:
        """Trials that count."""
        ...


def times(plan: Plan, workers: int, speeds: Speeds, counts: Done) -> Iterator[tuple[str, str]]:
    """Title and line of what is known about the time; nothing when nothing is left to train."""
    kinds = list(_kinds(plan, speeds))
    if plan.clock is not None:
        yield "budget", _budget(plan, plan.clock)
        lines = [*kinds, *_reduced(plan, plan.clock)]
        yield from (("", line) for line in lines)
    elif plan.total is not None and kinds:
        total = _total(plan, workers, speeds, plan.total - counts.done)
        yield "time", f"about {duration(total)} {'; '.join(kinds)}; less what pruning saves"


def _kinds(plan: Plan, speeds: Speeds) -> Iterator[str]:
    """Speed and duration of every kind of training whose speed is known."""
    if "probe" in plan.methods and speeds.features:
        yield (
            f"at {count(speeds.features)} images/s, {duration(_pass(plan, speeds))} for the "
            f"features of all, then seconds per probe"
        )
    if plan.methods != ["probe"] and speeds.training:
        kind = "full training" if plan.probes is None else "fine-tuning"
        each = _training(plan, speeds)
        epochs = "" if plan.probes is None else f" of {plan.training.epochs} epochs"
        yield f"at {count(speeds.training)} images/s, {duration(each)} per {kind}{epochs}"


def _total(plan: Plan, workers: int, speeds: Speeds, trials: int) -> float:
    """A bound from above: pruning and lighter networks than the default make it less."""
    confirm = plan.config.confirm
    each, features = _training(plan, speeds), _pass(plan, speeds)
    trainings = trials if plan.probes is None else max(0, trials - plan.probes)
    if plan.only_trials:
        return features + each * trainings / workers
    after = confirm.top * confirm.seeds + confirm.further if trainings else 0
    return features + each * (trainings + after) / workers + each / plan.folds


def _training(plan: Plan, speeds: Speeds) -> float:
    """Seconds of one training alone, of which a probe has none worth mentioning."""
    if not speeds.training or plan.methods == ["probe"]:
        return 0.0
    return plan.training.epochs * plan.trial_images / speeds.training


def _pass(plan: Plan, speeds: Speeds) -> float:
    """Seconds until the features of all pictures that are searched on are known."""
    if not speeds.features or "probe" not in plan.methods:
        return 0.0
    side = (plan.clock and plan.clock.resolution) or plan.side
    scale = (side / plan.side) ** 2
    return scale * plan.final_count / speeds.features


def _budget(plan: Plan, clock: Clock) -> str:
    usual = " (the usual one for this recipe; --budget or --trials change it)"
    given = usual if plan.usual_budget else ""
    left = duration(clock.left(time.time()))
    return f"{duration(clock.seconds)}{given}, {left} left for trials and all that follows them"


def _reduced(plan: Plan, clock: Clock) -> Iterator[str]:
    """What the budget leaves no room for, and what would need more of it."""
    features = clock.speeds.features
    if clock.resolution is not None and features:
        whole = (plan.final_count + 2 * plan.data.test.count) / features
        yield (
            f"probes see {clock.resolution} pixels instead of {plan.side}, at which all pictures "
            f"would take {duration(whole)}: a budget of {duration(whole / FEATURES)} has room"
        )
    least, fits = least_epochs(plan), epochs_that_fit(plan, [], time.time())
    if plan.probes is not None and fits < least:
        yield (
            f"no fine-tuning fits beside the probes: one of {count(least)} epochs would have to "
            f"be confirmed and trained again"
        )
    if clock.views == 0 and "views" in {*plan.space.keys()}:
        yield "no augmented views, which would take too much of it"
