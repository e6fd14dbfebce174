"""What parameters decide, and where in their ranges the best values lie.

What Optuna works out and draws itself is made from a copy of the study in memory: all figures
then show the same moment, whatever is written to the study meanwhile.
"""

import math
from collections.abc import Collection, Sequence
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FixedTrial, FrozenTrial, TrialState, create_trial

from records.trial import TrialRecord, ranked
from reports.numbers import Numbers
from space import Choice, Float, Int, Space

NEAR = 0.05  # How near to an end of its range, as a share of it, a value counts as at the edge.
_MOST = 0.5  # Share of the leading trials at an edge above which it is worth a look.
_LEAST = 10  # Complete trials below which an importance says nothing.
_GOOD, _GOOD_LEAST = 0.1, 5  # Share and number at least of the trials that count as good.


class Range(Numbers):
    """One numeric parameter, its range, and where the leading trials lie in it.

    Attributes:
        whole: Whether only whole numbers occur.
        step: Between two of these.
        best: The value of the best trial; None if it does not have this parameter.
        positions: Of the leading trials, best first, from 0 (low) to 1 (high), on the own scale.
        at_low, at_high: Share of the leading trials at this edge.
    """

    name: str
    low: float
    high: float
    log: bool
    whole: bool
    step: int = 1
    best: float | None
    positions: tuple[float, ...]
    at_low: float
    at_high: float

    @property
    def edge(self) -> str | None:
        """The edge where most leading trials are, the best one among them: "low" or "high".

        Nothing lies below a lower end of 0, and a shape parameter of a few whole numbers is at an
        edge more often than not, so the first never counts, and of the others all must be there.
        """
        if not self.positions:
            return None
        few = self.whole and self.high - self.low < 4
        needed = 1.0 if few else _MOST
        if self.at_high >= needed and _near(self.positions[0], 1.0):
            return "high"
        at_low = self.at_low >= needed and _near(self.positions[0], 0.0)
        return "low" if at_low and self.low != 0 else None


class Importance(Numbers):
    """How much a parameter decides whether a trial is among the good ones; all sum to 1."""

    name: str
    share: float


class Importances(Numbers):
    """PED-ANOVA (Watanabe et al., 2023) over `n` complete trials, of which `good` count as good.

    The most important parameter comes first; there are none with too few trials.
    """

    parameters: tuple[Importance, ...]
    n: int
    good: int


def ranges(trials: Sequence[TrialRecord], space: Space | None) -> tuple[Range, ...]:
    """All numeric parameters of the space with the leading trials: a tenth, three at least."""
    if space is None:
        return ()
    order = ranked(trials)
    leading = order[: max(3, len(order) // 10)]
    numeric = ((n, p) for n, p in space.parameters.items() if not isinstance(p, Choice))
    return tuple(_range(name, parameter, leading) for name, parameter in numeric)


def _range(name: str, parameter: Int | Float, leading: Sequence[TrialRecord]) -> Range:
    low, high, log = float(parameter.low), float(parameter.high), parameter.log
    values = [float(t.params[name]) for t in leading if name in t.params]
    scale = math.log if log else float
    positions = tuple((scale(v) - scale(low)) / (scale(high) - scale(low)) for v in values)
    n = max(1, len(positions))
    best = leading[0].params.get(name) if leading else None
    return Range(
        name=name, low=low, high=high, log=log, whole=isinstance(parameter, Int),
        step=parameter.step if isinstance(parameter, Int) else 1,
        best=None if best is None else float(best),
        positions=positions,
        at_low=sum(_near(p, 0.0) for p in positions) / n,
        at_high=sum(_near(p, 1.0) for p in positions) / n,
    )  # fmt: skip


def _near(position: float, end: float) -> bool:
    return abs(position - end) <= NEAR


def replica(
    trials: Sequence[TrialRecord], space: Space, only: Collection[int] | None = None
) -> Study:
    """The complete trials, or `only` some by number, as an Optuna study in memory.

    The others keep their numbers, empty.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    kept = {t.number: t for t in trials if only is None or t.number in only}
    count = max((t.number for t in trials), default=-1) + 1
    study.add_trials([_copy(kept.get(number), space) for number in range(count)])
    return study


def chosen(trials: Sequence[TrialRecord], most: int) -> set[int]:
    """Numbers of at most so many complete trials: the best half of them, and some of the rest."""
    order = [t.number for t in ranked(trials)]
    rest = order[most // 2 :]
    step = max(1, -(-len(rest) // (most - most // 2)))
    return {*order[: most // 2], *rest[::step]}


def searched(study: Study) -> list[str]:
    """The parameters that complete trials have with at least two values."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    names = dict.fromkeys(name for trial in complete for name in trial.params)
    return [n for n in names if len({t.params[n] for t in complete if n in t.params}) > 1]


def importances(study: Study) -> Importances:
    """How much each parameter matters, in milliseconds also for a thousand trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    n, names = len(complete), searched(study)
    good = min(n, max(_GOOD_LEAST, round(_GOOD * n)))
    if n < _LEAST or not names or len({t.value for t in complete}) < 2:
        return Importances(parameters=(), n=n, good=good)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=good / n)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)
    found = tuple(Importance(name=name, share=float(share)) for name, share in shares.items())
    return Importances(parameters=found, n=n, good=good)


def _copy(trial: TrialRecord | None, space: Space) -> FrozenTrial:
    if trial is None or (value := trial.result) is None:
        return create_trial(state=TrialState.FAIL)
    values: dict[str, Any] = {}
    for name, found in trial.params.items():
        parameter = space.parameters.get(name)
        if parameter is None or not parameter.contains(found):
            continue
        if isinstance(parameter, Float):  # With as many digits as people can read.
            found = min(max(float(f"{found:.4g}"), parameter.low), parameter.high)
        values[name] = found
    # Asked for its values, it says of which distributions they are.
    asked = FixedTrial(values)
    for name in values:
        space.parameters[name].suggest(name, asked)
    return create_trial(value=value, params=asked.params, distributions=asked.distributions)
