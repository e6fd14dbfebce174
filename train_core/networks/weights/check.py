"""What only building a network tells, asked before the first training and in one sentence."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from train_core.networks import NetworkShape, build_network, is_foreign
from train_core.networks.base import DropPath
from train_core.networks.weights.files import WeightsFile, find_weights
from train_core.networks.weights.initial import initial_weights


def check_networks(
    names: Iterable[str], settings: Mapping[str, Any], classes: int, *, drop_path: bool = False
) -> WeightsFile | None:
    """Build the networks of other people's code, and read the weights that a training starts from.

    Args:
        names: The networks that trainings may use.
        settings: The keys of `[training]`, and `image_size` in pixels.
        classes: How many there are.
        drop_path: Whether some training may have a `drop_path` above 0.

    Returns:
        The file of the weights; None if there is none.

    Raises:
        ValueError: There is no such network, it does not take such images, or the weights are not
            here or do not fit.
    """
    for name in names:
        if is_foreign(name):
            _check(NetworkShape.of(name, settings, classes), settings["image_size"], drop_path)
    network, weights = settings["network"], settings["weights"]
    file = find_weights(network, weights, settings["weights_sha256"])
    if file is not None:
        shape = NetworkShape.of(network, settings, classes)
        initial_weights(shape, weights, file.facts.sha256)
    return file


@torch.no_grad()
def _check(shape: NetworkShape, side: int, drop_path: bool) -> None:
    name = shape.network
    try:
        network = build_network(shape).eval()
        embedding = network.features(torch.zeros(2, 3, side, side))
    except (RuntimeError, AssertionError, TypeError, IndexError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"network must take images of {side}x{side} pixels, but '{name}' says: {reason}"
        ) from None
    width = network.head.in_features
    if embedding.shape != (2, width):
        raise ValueError(
            f"features of two images must have the shape (2, {width}) that the head takes, but "
            f"those of '{name}' have {tuple(embedding.shape)}"
        )
    if drop_path and not any(isinstance(module, DropPath) for module in network.modules()):
        raise ValueError(f"drop_path must be left out, since '{name}' has no residual branches")
