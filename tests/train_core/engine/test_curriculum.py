"""Trainings whose images grow: sizes, what is seen, and one captured step for each size."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.conftest import image_data
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.engine.curriculum import sides_of
from train_core.fit import fit, measure_speed
from train_core.networks.weights.check import check_networks

GROWING = TrainConfig(
    width=4, depth=1, epochs=5, batch_size=32, augment=0.4, dropout=0.2, ema=0.1,
    curriculum="progressive", precision="fp32",
)  # fmt: skip
SIDES = [12, 16, 16, 16, 16]  # Of images of 16 pixels, which halve in steps of 4.


@pytest.mark.parametrize(
    ("side", "epochs", "sides"),
    [
        (32, 1, [32]),
        (32, 2, [28, 32]),
        (32, 3, [24, 28, 32]),
        (32, 4, [24, 28, 32, 32]),
        (32, 7, [24, 24, 28, 28, 32, 32, 32]),
        (64, 3, [48, 56, 64]),
        (224, 3, [128, 192, 224]),
        (16, 5, SIDES),
    ],
)
def test_images_grow_to_their_full_size(side, epochs, sides) -> None:
    assert sides_of("progressive", side, epochs) == sides
    assert sides_of("none", side, epochs) == [side] * epochs


def test_every_epoch_sees_its_size_and_steps_go_on_as_ever(data) -> None:
    seen, rates = [], []
    for config in (GROWING, GROWING.model_copy(update={"curriculum": "none"})):
        made = Engine(EngineShape.of(config, data), data)
        made.start(config)
        rates.append([])
        for _ in range(config.epochs):
            rates[-1].append(made.run_epoch()[2])
            seen.append(made._next_batch()[0].shape[-1])
    assert seen == SIDES + [16] * 5
    assert rates[0] == rates[1]
    assert made.normalisation.view.side == 16


def test_small_images_are_the_large_ones_as_pillow_makes_them_smaller(data) -> None:
    config = GROWING.model_copy(update={"augment": 0.0, "batch_size": 96})
    made = Engine(EngineShape.of(config, data), data)
    made.start(config)
    made.shuffle()
    shown, _ = made._next_batch()
    mean, std = data.normalisation.mean, data.normalisation.std
    first = data.train.images[made._order[0]].numpy()
    pixels = [
        np.asarray(Image.fromarray(first[:, :, c].astype(np.float32)).resize((12, 12), 3)) / 255
        for c in range(3)
    ]
    expected = (torch.tensor(np.stack(pixels)) - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(shown[0], expected, atol=1e-4, rtol=0)


def facts(records):
    return [record.model_dump(exclude={"seconds"}) for record in records]


@pytest.mark.parametrize("after", [1, 3])
def test_goes_on_bit_for_bit(data, tmp_path, after) -> None:
    whole = facts(fit(GROWING, data))
    stopped = fit(GROWING, data, checkpoint=Checkpoint(tmp_path / "state", every=0.0))
    for _ in range(after):
        next(stopped)
    assert facts(fit(GROWING, data, checkpoint=Checkpoint(tmp_path / "state"))) == whole
    assert whole != facts(fit(GROWING.model_copy(update={"curriculum": "none"}), data))


class Repeats:
    """Records a step by keeping it; on a GPU, a replay launches what was recorded."""

    def __init__(self) -> None:
        self.recorded: list[int] = []  # Sides of the images, in order.
        self.replayed: list[int] = []

    def record(self, step, generator):
        engine = step.__self__
        self.recorded.append(engine._side)
        step()
        return lambda: self.replayed.append(engine._side) or step()


def test_every_size_has_one_captured_step_that_trainings_share(data) -> None:
    captures = Repeats()
    captured = GROWING.model_copy(update={"cuda_graph": True})
    made = EnginePool(data, captures=captures).engine(captured)
    for config in (captured, captured, captured.model_copy(update={"curriculum": "none"})):
        made.start(config)
        for _ in range(config.epochs):
            made.run_epoch()
    assert captures.recorded == [16, 12]
    assert captures.replayed == [side for side in SIDES for _ in range(3)] * 2 + [16] * 15
    # Capturing has left no trace.
    alone = EnginePool(data)
    *_, last = fit(GROWING, data, alone)
    made.start(captured)
    for _ in range(GROWING.epochs):
        made.run_epoch()
    assert torch.equal(made._state.state, alone.engine(GROWING)._state.state)


def test_the_speed_is_that_of_all_sizes(data) -> None:
    engines, seen = EnginePool(data), []
    made = engines.engine(GROWING)
    see = made.see
    made.see = lambda side: seen.append(side) or see(side)
    assert measure_speed(GROWING, engines, seconds=0) > 0
    assert {*seen} == {12, 16}


def test_large_images_are_cropped_to_each_size() -> None:
    """Crops are resampled once, from the stored images to the size of the epoch."""
    data = image_data()
    object.__setattr__(data, "crop_size", 14)
    config = GROWING.model_copy(update={"resolution": 14, "augment": 1.0})
    made = Engine(EngineShape.of(config, data), data)
    made.start(config)
    made.see(12)
    made.shuffle()
    assert made._next_batch()[0].shape == (32, 3, 12, 12)


def test_a_network_of_one_size_is_refused() -> None:
    settings = {"network": "timm/test_vit", "weights": "none", "weights_sha256": None}
    settings["image_size"] = 32
    check_networks(["timm/test_vit"], settings, 3)
    with pytest.raises(ValueError, match=r'curriculum must be "none" for a network .* of 24x24'):
        check_networks(["timm/test_vit"], settings, 3, smaller={"timm/test_vit": [24, 28]})
    check_networks(["timm/test_efficientnet"], settings, 3, smaller={"timm/test_vit": [24]})
