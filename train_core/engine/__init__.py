"""The step of a training: its buffers, its passes, its optimizers and their schedule."""

from train_core.engine.engine import Engine, EnginePool, EngineShape

__all__ = ["Engine", "EnginePool", "EngineShape"]
