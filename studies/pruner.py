"""Pruners by name, with their settings in epochs worked out from the length of a training."""

from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)

from studies.config import StudyConfig


def build_pruner(config: StudyConfig, epochs: int) -> BasePruner:
    """The pruner for trainings of this many epochs, reported as steps 1 to `epochs`."""
    quiet = max(1, round(config.prune_after * epochs))
    # Optuna may prune at step == n_warmup_steps; ours start at 1.
    warmup, startup = quiet + 1, config.startup_trials
    match config.pruner:
        case "median":
            return MedianPruner(startup, warmup, quiet)
        case "percentile":
            return PercentilePruner(100 * config.keep, startup, warmup, quiet)
        case "hyperband":
            return HyperbandPruner(min_resource=warmup, max_resource=epochs, reduction_factor=3)
        case "successive-halving":
            return SuccessiveHalvingPruner(min_resource=warmup, reduction_factor=3)
        case "none":
            return NopPruner()
