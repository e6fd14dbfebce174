"""How fast a training will be, from a few of its steps."""

import time

from train_core.config import TrainConfig
from train_core.device import synchronize
from train_core.engine import EnginePool


def measure_speed(config: TrainConfig, engines: EnginePool, seconds: float = 1.0) -> float:
    """Training images per second, after a warm-up.

    Args:
        config: What to train.
        engines: Where the buffers live; a search goes on with them.
        seconds: How long to measure, at least; never fewer than two steps.
    """
    engine = engines.engine(config)
    engine.start(config)
    engine.run_steps(1)
    synchronize(engines.data.device)
    started, steps = time.perf_counter(), 0
    while steps < 2 or time.perf_counter() - started < seconds:
        # Back to the first step each time: the schedule must not run out.
        engine.start(config)
        engine.run_steps(1)
        synchronize(engines.data.device)
        steps += 1
    return steps * config.batch_size / (time.perf_counter() - started)
