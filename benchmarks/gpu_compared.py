"""Parts `equal` and `usual` of `benchmarks.gpu_check`: two ways to train, side by side."""

from collections.abc import Iterator
from functools import partial

from benchmarks.gpu_images import random_images
from benchmarks.gpu_part import REPEATS, NotHere, Row, Setting, attempt
from benchmarks.gpu_steps import WAYS, sized
from benchmarks.usual_loop import crop_and_flip, same_augmentation, usual_speed
from train_core.config import RecipeName, TrainConfig
from train_core.device import pick_device
from train_core.engine import EnginePool
from train_core.fit import fit, measure_speed
from train_core.images import ImageData


def equal(setting: Setting) -> Iterator[Row]:
    """Losses of a captured training against those of an eager one, with the same seed.

    Two eager trainings say how far apart two of the same kind are: sums on a GPU are not always
    made in the same order.
    """
    data = random_images(setting, pick_device())
    recipes: tuple[RecipeName, ...] = ("fast", "cpu")
    for recipe in recipes:
        for precision in ("fp32", "bf16"):
            config = sized(recipe, setting, 256, "eager").model_copy(
                update={"precision": precision, "epochs": 3, "dropout": 0.1}
            )
            what = f"{recipe}, {precision}, captured against eager"
            yield from attempt(what, partial(_compared, what, config, data))


def _compared(what: str, config: TrainConfig, data: ImageData) -> list[Row]:
    first, again, captured = (
        _records(config.model_copy(update={"cuda_graph": graph}), data)
        for graph in (False, False, True)
    )
    more = {"eager against eager": _apart(first, again), "gain": _gain(first, captured)}
    return [Row(what, "largest difference", (_apart(first, captured),), more)]


def _records(config: TrainConfig, data: ImageData) -> list[tuple[float, float]]:
    """Mean loss and images per second of every epoch."""
    return [(r.train_loss, r.images_per_second) for r in fit(config, data)]


def _apart(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> float:
    """The largest relative difference of the losses."""
    return max(abs(a - b) / abs(a) for (a, _), (b, _) in zip(one, other, strict=True))


def _gain(slow: list[tuple[float, float]], fast: list[tuple[float, float]]) -> float:
    return max(speed for _, speed in fast) / max(speed for _, speed in slow)


def usual(setting: Setting) -> Iterator[Row]:
    """The loop that most people write, and ours, with the same network and batch size."""
    config = sized("fast", setting, 256, "eager")
    data = random_images(setting, pick_device(), 40 * config.batch_size)
    same, light = same_augmentation(data, config.augment), crop_and_flip(data)
    loops = {
        "usual loop, same augmentation, float32": (same, False),
        "usual loop, same augmentation, bf16 autocast, channels_last": (same, True),
        "usual loop, crop and flip, float32": (light, False),
    }
    for _ in range(1 if setting.smoke else REPEATS):
        for what, (steps, autocast) in loops.items():
            found = usual_speed(config, data, steps, autocast=autocast)
            yield Row(what, "images/s", (found,))
    for way in ("eager", "cuda_graph"):
        ours = config.model_copy(update=WAYS[way])
        if ours.cuda_graph and data.device.type != "cuda":
            raise NotHere("the rest needs a CUDA device")
        engines = EnginePool(data)
        speeds = tuple(measure_speed(ours, engines, 0.3) for _ in range(REPEATS))
        yield Row(f"ours, same augmentation, bf16, {way}", "images/s", speeds)
