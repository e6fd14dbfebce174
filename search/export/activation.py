"""Where a model looks: class-activation maps of a network, if it has any that are exact."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from records.pixels.heat import heat
from train_core.data.decode import resize_all
from train_core.model import TrainedModel

# Values per picture; more would take more memory than the network itself.
MOST_VALUES = 1 << 20
# How far the mean of a map may be from the embedding, relative to its largest value.
_CLOSE = 1e-4
_AT_ONCE = 16


@torch.no_grad()
def map_size(model: TrainedModel, images: Tensor) -> tuple[int, int] | str:
    """Height and width of the class-activation maps, or why there are none, a sentence.

    Maps are exact or not at all: what a network calls its map must have the embedding as its mean
    for these images, `(N, side, side, 3)` uint8, on the CPU. A few are enough.
    """
    name, pixels = model.shape.network, model.normalisation(images)
    embedding, maps = model.network.features_and_map(pixels)
    if maps is None:
        return f"{name} has no last map: it is not convolutional, or does not offer it"
    expected = model.network.features(pixels)
    if maps.ndim != 4 or maps.shape[:2] != expected.shape:
        return f"the embedding of {name} does not have the channels of its last map"
    height, width = maps.shape[2:]
    furthest = max(float((mean - expected).abs().max()) for mean in (embedding, maps.mean((2, 3))))
    if not furthest <= _CLOSE * max(1.0, float(expected.abs().max())):
        return f"the embedding of {name} is not the mean of its last map"
    if height * width == 1:
        return f"at this image size, the last map of {name} is a single place"
    if len(model.classes) * height * width > MOST_VALUES:
        return (
            f"maps of {len(model.classes):,} classes at {height} x {width} places would be too "
            f"large ({MOST_VALUES:,} values at most)"
        )
    return height, width


@torch.no_grad()
def heat_of_errors(
    model: TrainedModel, shown: Mapping[str, np.ndarray], maps: tuple[int, int] | str
) -> dict[str, np.ndarray]:
    """Where a model sees the class that it predicts, in the wrong ones of the shown pictures.

    Args:
        model: On the CPU.
        shown: What `shown_pictures` returns.
        maps: What `map_size` returns.

    Returns:
        "heat" `(wrong_count, h, w)` float16 in [0, 1]; nothing, if it has no maps.
    """
    if isinstance(maps, str):
        return {}
    network, found = model.network, np.zeros((int(shown["wrong_count"]), *maps), np.float16)
    for start in range(0, len(found), _AT_ONCE):
        rows = slice(start, min(start + _AT_ONCE, len(found)))
        # Large ones were made small for reports.
        pictures = resize_all(shown["pictures"][rows], model.image_size)
        pixels = model.normalisation(torch.from_numpy(pictures))
        embedding, last = network.features_and_map(pixels)
        assert last is not None
        predicted = network.logits(embedding).argmax(1)
        found[rows] = heat(network.activation(last).numpy(), predicted.numpy())
    return {"heat": found}
