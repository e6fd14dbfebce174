"""A copy of the study in memory, for what Optuna works out and draws itself.

All figures then show the same moment, whatever is written to the study meanwhile; the copy holds
plain values only, and a storage is asked once.
"""

from collections.abc import Collection, Iterator, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from records.trial import TrialRecord, ranked
from reports.numbers.base import Numbers
from space import Float, Int, Parameter, Space

LEAST = 10
"""Complete trials below which an importance says nothing."""

_TOP, _TOP_LEAST = 0.1, 5
"""Share of the trials that count as good for the importances, and how many at least."""


class Importance(Numbers):
    """How much a parameter decides whether a trial is among the good ones; all sum to 1."""

    name: str
    share: float


class Importances(Numbers):
    """PED-ANOVA (Watanabe et al., 2023) over the complete trials."""

    parameters: tuple[Importance, ...]
    """Most important first; empty with too few trials."""

    n: int
    """Complete trials."""

    good: int
    """How many of them count as good."""


def replica(
    trials: Sequence[TrialRecord], space: Space, only: Collection[int] | None = None
) -> Study:
    """The complete trials as an Optuna study in memory; the others keep their numbers, empty.

    Args:
        trials: All trials, by number.
        space: What was searched.
        only: Numbers of the trials to copy; None = all.
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
    values: dict[str, set[object]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for name, value in trial.params.items():
            values.setdefault(name, set()).add(value)
    return [name for name, found in values.items() if len(found) > 1]


def importances(study: Study) -> Importances:
    """How much each parameter matters, in milliseconds also for a thousand trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    n, names = len(complete), searched(study)
    good = min(n, max(_TOP_LEAST, round(_TOP * n)))
    if n < LEAST or not names or len({t.value for t in complete}) < 2:
        return Importances(parameters=(), n=n, good=good)
    evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=good / n)
    shares = optuna.importance.get_param_importances(study, evaluator=evaluator, params=names)
    found = tuple(Importance(name=name, share=float(share)) for name, share in shares.items())
    return Importances(parameters=found, n=n, good=good)


def _copy(trial: TrialRecord | None, space: Space) -> FrozenTrial:
    if trial is None or (value := trial.result) is None:
        return create_trial(state=TrialState.FAIL)
    params = dict(_known(trial, space))
    distributions = {name: _distribution(space.parameters[name]) for name in params}
    return create_trial(value=value, params=params, distributions=distributions)


def _known(trial: TrialRecord, space: Space) -> Iterator[tuple[str, object]]:
    """The parameters, with as many digits as people can read."""
    for name, value in trial.params.items():
        parameter = space.parameters.get(name)
        if isinstance(parameter, Float) and parameter.contains(value):
            yield name, min(max(float(f"{value:.4g}"), parameter.low), parameter.high)
        elif parameter is not None and parameter.contains(value):
            yield name, value


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    if isinstance(parameter, Int):
        return IntDistribution(
            parameter.low, parameter.high, log=parameter.log, step=parameter.step
        )
    return CategoricalDistribution(parameter.choices)
