"""A calibration in words: tables for the terminal."""

from collections.abc import Iterator

from records.words import percent
from search.calibrate.calibration import Calibration
from search.calibrate.numbers import FURTHEST, Interval

_RULES = 8  # Pruning rules that are shown.


def lines(found: Calibration) -> Iterator[str]:
    """All that was found, line by line."""
    left = f", {found.left_out} trials that did not end are left out" if found.left_out else ""
    yield f"{found.points} points to their end{left}; intervals are of 95 %"
    yield from _recipe(found)
    yield ""
    yield from _ranks(found)
    yield ""
    yield from _noise(found)
    yield from _trials(found)
    yield from _confirmations(found)
    yield ""
    yield from _pruning(found)


def _recipe(found: Calibration) -> Iterator[str]:
    if found.recipe is not None:
        yield (
            f"the recipe's own point is number {found.recipe + 1} of {found.points} "
            f"({percent(found.ends[found.recipe][0])}, best {percent(found.ends[0][0])})"
        )


def _ranks(found: Calibration) -> Iterator[str]:
    epochs = found.curves.shape[1]
    yield "how early scores rank the end"
    yield "epoch   share   Spearman               Kendall                the best is among"
    for a in found.agreements:
        yield (
            f"{a.epoch:>5}   {a.share:>5.0%}   {_interval(a.spearman):21}  "
            f"{_interval(a.kendall):21}  the first {a.leading}"
        )
    if epochs < 2:
        yield "    -"


def _interval(i: Interval) -> str:
    return f"{i.value:.2f} ({i.low:.2f} to {i.high:.2f})"


def _noise(found: Calibration) -> Iterator[str]:
    if (noise := found.noise) is None:
        yield "seed noise is not known: no point was trained twice"
        return
    sd = noise.sd
    yield (
        f"another seed changes a result by {_points(sd.value)} points (standard deviation; "
        f"{_points(sd.low)} to {_points(sd.high)}, {noise.degrees} degrees of freedom)"
    )


def _trials(found: Calibration) -> Iterator[str]:
    known = ", ".join(f"{n}: {percent(best)}" for n, best in found.doublings)
    yield f"expected best of so many random trials: {known}"
    if found.trials >= FURTHEST * len(found.results):
        yield f"at least {found.trials} trials pay (an extrapolation, which goes no further)"
        return
    beyond = " (an extrapolation)" if found.trials > found.points else ""
    yield (
        f"{found.trials} trials pay{beyond}: twice as many bring less than half of what a seed "
        f"changes, or than 0.1 points"
    )


def _confirmations(found: Calibration) -> Iterator[str]:
    shown = ", ".join(f"{c.top} x {c.seeds}: {_points(c.regret)}" for c in found.confirmations)
    yield f"points lost by the choice, confirming the best with so many seeds each: {shown}"
    yield f"{found.confirmation.top} x {found.confirmation.seeds} are enough"


def _pruning(found: Calibration) -> Iterator[str]:
    yield "what pruning would have done to these points, in 200 random orders"
    yield "saved   best kept   points lost   [study]"
    for effect in found.effects[:_RULES]:
        keys = ", ".join(f"{k} = {v!r}" for k, v in effect.study.items()).replace("'", '"')
        yield f"{effect.saved:>5.0%}   {effect.kept:>9.0%}   {_points(effect.lost):>11}   {keys}"
    if (rule := found.rule) is None:
        yield "no rule saves epochs and loses nothing"
        return
    keys = ", ".join(f"{k} = {v!r}" for k, v in rule.study.items()).replace("'", '"')
    yield f"the one that saves most and loses nothing: {rule.saved:.0%} with {keys}"


def _points(share: float) -> str:
    return f"{100 * share:.2f}"
