import pytest
import torch

from train_core.config import TrainConfig
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.fit import measure_speed

CONFIG = TrainConfig(width=4, depth=1, epochs=3, batch_size=32, precision="fp32")


def test_the_clock_sees_steps_and_nothing_else(data) -> None:
    engines = EnginePool(data)
    assert measure_speed(CONFIG, engines, seconds=0) > 0
    # One step to warm up and two on the clock, in one training and one order of the images.
    reference = Engine(EngineShape.of(CONFIG, data), data)
    reference.start(CONFIG)
    reference.shuffle()
    reference.run_steps(3)
    assert torch.equal(engines.engine(CONFIG)._state.state, reference._state.state)


@pytest.mark.parametrize("batch_size", [32, 96])
def test_a_training_that_is_too_short_to_measure_begins_again(data, batch_size) -> None:
    engines = EnginePool(data)
    config = CONFIG.model_copy(update={"epochs": 1, "batch_size": batch_size})
    assert measure_speed(config, engines, seconds=0.05) > 0
    assert engines.engine(config)._step <= engines.engine(config).steps_per_epoch
