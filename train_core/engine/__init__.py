"""The step of a training: its buffers, its passes, its optimizers and their schedule.

And trainings without steps: a last layer on features that are computed once.
"""

from train_core.engine.buffers import EngineShape
from train_core.engine.engine import Engine
from train_core.engine.frozen.features import feature_steps, features_needed
from train_core.engine.frozen.probe import Probe, known_features
from train_core.engine.pool import EnginePool, Folds

__all__ = [
    "Engine", "EnginePool", "EngineShape", "Folds", "Probe", "feature_steps", "features_needed",
    "known_features",
]  # fmt: skip
