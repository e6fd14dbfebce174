"""How fast a training will be, from a few of its steps."""

import time

from train_core.config import TrainConfig
from train_core.device import synchronize
from train_core.engine import Engine, EnginePool


def measure_speed(config: TrainConfig, engines: EnginePool, seconds: float = 1.0) -> float:
    """Training images per second, after a warm-up.

    Args:
        config: What to train.
        engines: Where the buffers live; a search goes on with them.
        seconds: How long to measure, at least; never fewer than two steps.
    """
    engine = engines.engine(config)
    _begin(engine, config)
    _seconds_of(engine, 1)
    left = config.epochs * engine.steps_per_epoch - 1
    steps, spent = 0, 0.0
    while steps < 2 or spent < seconds:
        if not left:
            # The schedule has run out.
            _begin(engine, config)
            left = config.epochs * engine.steps_per_epoch
        # Ever longer runs, so that waiting for the device after each is lost in them.
        count = min(left, max(1, steps))
        spent += _seconds_of(engine, count)
        steps, left = steps + count, left - count
    return steps * config.batch_size / spent


def _begin(engine: Engine, config: TrainConfig) -> None:
    """What every training and every epoch does once, and no clock should see."""
    engine.start(config)
    engine.shuffle()


def _seconds_of(engine: Engine, steps: int) -> float:
    synchronize(engine.data.device)
    started = time.perf_counter()
    engine.run_steps(steps)
    synchronize(engine.data.device)
    return time.perf_counter() - started
