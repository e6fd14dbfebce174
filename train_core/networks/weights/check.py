"""What only building a network tells, asked before the first training and in one sentence."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from train_core.networks import NetworkShape, build_network, is_foreign
from train_core.networks.base import Classifier, DropPath
from train_core.networks.foreign.wrapped import seeded
from train_core.networks.weights.files import WeightsFile, find_weights
from train_core.networks.weights.initial import initial_weights


def check_networks(
    names: Iterable[str],
    settings: Mapping[str, Any],
    classes: int,
    *,
    drop_path: Collection[str] = (),
    smaller: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> WeightsFile | None:
    """Build the networks of other people's code, and read the weights that a training starts from.

    Args:
        names: The networks that trainings may use.
        settings: The keys of `[training]`, and `image_size` in pixels.
        classes: How many there are.
        drop_path: Those of them with which a training may have a `drop_path` above 0.
        smaller: Sides in pixels, by network, that a training may begin with (`curriculum`).

    Returns:
        The file of the weights; None if there is none.

    Raises:
        ValueError: There is no such network, it does not take such images, or the weights are not
            here or do not fit.
    """
    for name in names:
        if is_foreign(name):
            shape = NetworkShape.of(name, settings, classes)
            network = _checked(shape, settings["image_size"], name in drop_path)
            for side in smaller.get(name, ()):
                _refuse_fixed(network, name, side)
    own, weights = settings["network"], settings["weights"]
    file = find_weights(own, weights, settings["weights_sha256"])
    if file is not None:
        shape = NetworkShape.of(own, settings, classes)
        initial_weights(shape, weights, file.facts.sha256)
    return file


_SAYS_NO = (RuntimeError, AssertionError, TypeError, IndexError, AttributeError)


@torch.no_grad()
def _refuse_fixed(network: Classifier, name: str, side: int) -> None:
    try:
        network.eval().features(torch.zeros(2, 3, side, side))
    except _SAYS_NO as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f'curriculum must be "none" for a network that takes images of one size only, and '
            f"'{name}' says of {side}x{side} pixels: {reason}"
        ) from None


@torch.no_grad()
def _checked(shape: NetworkShape, side: int, drop_path: bool) -> Classifier:
    name = shape.network
    try:
        network = build_network(shape)
        network.expect(2)
        with seeded():
            state, images = torch.get_rng_state(), torch.zeros(2, 3, side, side)
            shapes = [tuple(network.train(m).features(images).shape) for m in (False, True)]
            draws = not torch.equal(torch.get_rng_state(), state)
    except _SAYS_NO as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"network must take images of {side}x{side} pixels, but '{name}' says: {reason}"
        ) from None
    width = network.head.in_features
    for found in shapes:
        if found != (2, width):
            raise ValueError(
                f"features of two images must have the shape (2, {width}) that the head takes, "
                f"but those of '{name}' have {found}"
            )
    if draws:
        raise ValueError(
            f"a network must leave dropout to the key of [training], but '{name}' draws random "
            f"numbers of its own: choose or build one that does not"
        )
    if drop_path and not any(isinstance(module, DropPath) for module in network.modules()):
        raise ValueError(f"drop_path must be left out, since '{name}' has no residual branches")
    return network
