"""Several objectives: what Optuna lacks for them, and pruning among trials that cost no more.

Optuna refuses reports and pruning where there is more than one objective. Reports are written to
the storage all the same, and a trial is pruned only for what a cheaper one does better.
"""

from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Any, cast

from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from records.outcome import EpochRecord, Outcome, State
from studies.attributes import COSTS

# Where Optuna keeps them: `Study.set_metric_names` writes the same, and warns that it may change.
_NAMES = "study:metric_names"


def directions(objectives: Sequence[str]) -> list[StudyDirection]:
    """The first is maximised, all others are minimised."""
    return [StudyDirection.MAXIMIZE] + [StudyDirection.MINIMIZE] * (len(objectives) - 1)


def name_objectives(study: Study, objectives: Sequence[str]) -> None:
    """Write what the values of trials are, if they are several; optuna-dashboard shows it too."""
    if len(objectives) > 1:
        study._storage.set_study_system_attr(study._study_id, _NAMES, list(objectives))


def objectives_of(study: Study) -> list[str]:
    """What was written; of a study with one objective nothing is, and nothing is needed."""
    if len(study.directions) == 1:
        return []
    return list(study.metric_names or ())


def written_values(study: Study, trial: FrozenTrial, outcome: Outcome) -> list[float]:
    """The values of a complete trial, whose costs are written on it by name, in their order."""
    costs = {name: outcome.costs[name] for name in objectives_of(study)[1:]}
    if costs:
        study._storage.set_trial_user_attr(trial._trial_id, COSTS, costs)
    return cast("list[float]", [outcome.score, *costs.values()])


def expected(trial: FrozenTrial, record: EpochRecord, epochs: int) -> dict[str, Any]:
    """A running trial's attributes with all that it will have cost after so many epochs.

    All of them are taken to be as long as this one.
    """
    costs = Outcome(State.RUNNING, (record,)).costs
    return {**trial.user_attrs, COSTS: {**costs, "train_seconds": record.seconds * epochs}}


def report(trial: Trial, score: float, epoch: int) -> None:
    """`Trial.report`, in a study with several objectives too.

    Raises:
        UpdateFinishedTrialError: The trial has ended.
    """
    if len(trial.study.directions) == 1:
        trial.report(score, epoch)
        return
    trial.storage.set_trial_intermediate_value(trial._trial_id, epoch, score)
    trial._cached_frozen_trial.intermediate_values[epoch] = score


def for_sampler(study: Study) -> Study:
    """The study as a sampler can read it.

    TPE orders pruned trials by their reports, in the study's only direction. Without reports they
    count as the worst ones; so do those that diverged or ran out of memory.
    """
    return study if len(study.directions) == 1 else cast("Study", _WithoutReports(study))


class AmongTheCheaper(BasePruner):
    """Holds a trial only against complete ones that cost no more, by the pruner that is given.

    With `median`, a trial is pruned when at least half of those that are as cheap in every cost
    are better after as many epochs: unless it catches up, the front has no place for it. A trial
    that is cheaper than all others is never pruned.

    The trial's own costs are expected in its user attributes, as those of complete trials are.
    """

    def __init__(self, pruner: BasePruner) -> None:
        self._pruner = pruner

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """What the pruner says when it sees only such trials."""
        own = trial.user_attrs.get(COSTS, {})
        return self._pruner.prune(cast("Study", _NoDearer(study, own)), trial)


class _View:
    """A study, a part of which is seen differently."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


class _NoDearer(_View):
    """With one direction, that of the reports, and without what costs more."""

    direction = StudyDirection.MAXIMIZE

    def __init__(self, study: Study, most: Mapping[str, float]) -> None:
        super().__init__(study)
        self._most = most

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=deepcopy, states=states)
        return [t for t in trials if self._is_no_dearer(t.user_attrs.get(COSTS, {}))]

    def _is_no_dearer(self, costs: Mapping[str, float]) -> bool:
        return bool(costs) and all(cost <= self._most[name] for name, cost in costs.items())


class _WithoutReports(_View):
    """Without those of pruned trials."""

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        return [_without_reports(trial) for trial in self._study._get_trials(*args, **kwargs)]


def _without_reports(trial: FrozenTrial) -> FrozenTrial:
    if trial.state != TrialState.PRUNED:
        return trial
    plain = copy(trial)
    plain.intermediate_values = {}
    return plain
