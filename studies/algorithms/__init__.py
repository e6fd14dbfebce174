"""Samplers and pruners by name; one that was stopped goes on as if it had not been."""

import warnings
from collections.abc import Container, Sequence
from copy import copy
from typing import Any, cast

import numpy as np
from optuna import pruners, samplers
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies.algorithms.costs import for_sampler
from studies.algorithms.promotion import Promote
from studies.attributes import CONFIG, ENQUEUED, FOLDS, INDEX, RETRY_OF, index_of
from studies.config import StudyConfig


def seed_for(study_seed: int, *path: int) -> int:
    """A seed in [0, 2**31) that depends on the study's seed and a path of numbers only.

    The path says what the seed is for, for instance a purpose and a trial's index.
    """
    return int(np.random.SeedSequence(study_seed, spawn_key=path).generate_state(1)[0]) >> 1


class IndexedSampler(BaseSampler):
    """Asks a fresh sampler for every trial, seeded by the study's seed and the trial's index.

    A sampler that lives on would have drawn differently after a restart than without one. This
    one's only memory is the study itself.
    """

    def __init__(self, config: StudyConfig, conditional: bool) -> None:
        self._config, self._conditional = config, conditional
        self._inner: BaseSampler = RandomSampler(seed=0)
        self._common = IntersectionSearchSpace(include_pruned=True)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Build the sampler for this trial."""
        seed = seed_for(self._config.seed, 0, index_of(study, trial))
        self._inner = _build(self._config, seed, self._conditional)
        self._inner.before_trial(study, trial)
        if self._config.sampler == "cmaes" and {RETRY_OF, ENQUEUED} <= trial.user_attrs.keys():
            # CMA-ES marks the trials of a generation when it samples them; one whose values are
            # given is not sampled, and would be missing from its generation.
            self.sample_relative(study, trial, self.infer_relative_search_space(study, trial))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """What the inner sampler says."""
        if self._config.sampler == "tpe" and not self._conditional:
            # The same as TPE's own, which a fresh sampler would work out from all trials again.
            common = self._common.calculate(study, use_cache=True)
            return {name: kind for name, kind in common.items() if not kind.single()}
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What the inner sampler says."""
        if self._config.sampler == "cmaes":
            # It adds the trial's number to its seed, which shifts when a trial is run again.
            trial = copy(trial)
            trial.number = index_of(study, trial)
        seen = for_sampler(self._seen(study))
        return self._inner.sample_relative(seen, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """What the inner sampler says."""
        return self._inner.sample_independent(
            for_sampler(self._seen(study)), trial, param_name, param_distribution
        )

    def after_trial(
        self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        """Pass it on."""
        self._inner.after_trial(study, trial, state, values)

    def _seen(self, study: Study) -> Study:
        """The study as the inner sampler sees it; those that ask storages take no pruner."""
        return cast("Study", _EachOnce(study)) if self._config.sampler == "tpe" else study


class _EachOnce:
    """A study in which a trial that went on after a pause is one point, and not two."""

    def __init__(self, study: Study) -> None:
        self._study = study

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self._study._get_trials(deepcopy, use_cache=use_cache)
        counted = (TrialState.COMPLETE, TrialState.PRUNED)
        # What went on has a higher number; before it has ended, it tells less.
        last = {_place(t): t.number for t in trials if t.state in counted}
        return [
            t
            for t in trials
            if (states is None or t.state in states)
            and (t.state not in counted or last[_place(t)] == t.number)
        ]


def _place(trial: FrozenTrial) -> int:
    """Its place in the search; of others' trials, which have none, a number of their own."""
    return int(trial.user_attrs.get(INDEX, ~trial.number))


def _build(config: StudyConfig, seed: int, conditional: bool) -> BaseSampler:
    startup = config.startup_trials
    with warnings.catch_warnings():
        # Optuna calls grouping by conditions, and QMC, experimental; tests hold them in place.
        warnings.simplefilter("ignore", ExperimentalWarning)
        match config.sampler:
            case "tpe":
                return samplers.TPESampler(
                    seed=seed, n_startup_trials=startup, multivariate=True, group=conditional
                )
            case "gp":
                return samplers.GPSampler(
                    seed=seed, n_startup_trials=startup, warn_independent_sampling=False
                )
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "qmc":
                # One sequence for the whole study, so its seed must not change with the trial.
                return samplers.QMCSampler(
                    scramble=True,
                    seed=seed_for(config.seed, 1),
                    independent_sampler=RandomSampler(seed=seed),
                    warn_independent_sampling=False,
                )
            case "random":
                return RandomSampler(seed=seed)


def build_pruner(config: StudyConfig, epochs: int | None) -> pruners.BasePruner:
    """The pruner for trainings of this many epochs, reported as steps 1 to `epochs`.

    None = they differ from trial to trial.
    """
    if config.pruner == "promote":
        return Promote(config)
    if epochs is None:
        return LikeWithLike(config)
    quiet = max(1, round(config.prune_after * epochs))
    # Optuna may prune at step == n_warmup_steps; ours start at 1.
    warmup, startup = quiet + 1, config.startup_trials
    match config.pruner:
        case "median":
            return pruners.MedianPruner(startup, warmup, quiet)
        case "percentile":
            return pruners.PercentilePruner(100 * config.keep, startup, warmup, quiet)
        case "hyperband":
            return pruners.HyperbandPruner(
                min_resource=warmup, max_resource=epochs, reduction_factor=config.reduction
            )
        case "successive-halving":
            return pruners.SuccessiveHalvingPruner(
                min_resource=warmup, reduction_factor=config.reduction
            )
        case "none":
            return pruners.NopPruner()


class LikeWithLike(pruners.BasePruner):
    """Holds a trial only against those of the same method and the same number of epochs.

    For studies with trainings of several lengths: after two epochs, one of two has its schedule
    behind it, one of twelve has hardly begun, so that the accuracy of the one says nothing about
    the other. The config's pruner is asked with the trial's own number of epochs.
    """

    def __init__(self, config: StudyConfig) -> None:
        self._config = config

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """What the pruner says when it sees only such trials."""
        pruner = build_pruner(self._config, _epochs(trial))
        return pruner.prune(cast("Study", _Alike(study, _length(trial))), trial)


class _Alike:
    """A study with only those trials that have one method and length, as a pruner sees it."""

    def __init__(self, study: Study, length: object) -> None:
        self._study, self._length = study, length

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=deepcopy, states=states)
        return [trial for trial in trials if _length(trial) == self._length]


def _epochs(trial: FrozenTrial) -> int:
    """Those of all its folds."""
    return int(trial.user_attrs[CONFIG]["epochs"] * trial.user_attrs.get(FOLDS, 1))


def _length(trial: FrozenTrial) -> tuple[str, int] | None:
    """Method and epochs of a trial's training; None before it has a config."""
    config = trial.user_attrs.get(CONFIG)
    return None if config is None else (config.get("method", "full"), config["epochs"])
