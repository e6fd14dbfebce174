"""The variants of `ablations.py`: a recipe with one piece taken out, exchanged or added.

What no key of `TrainConfig` says is exchanged in the library for the time of one training: the
library has no switches for what it does not offer.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train_core.config import TrainConfig
from train_core.engine import engine
from train_core.networks import NetworkSpec, convnet
from train_core.networks.base import BatchNorm
from train_core.networks.convnet import Block, ConvNet

Exchange = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Variant:
    """One change to a recipe.

    Attributes:
        says: What is changed, for the table.
        keys: Of `TrainConfig`, in place of the recipe's.
        exchange: Makes the context in which the library trains with the other code.
        rates: Learning rates to look at first; empty = the recipe's, or the one in `keys`.
    """

    says: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    exchange: Exchange = nullcontext
    rates: tuple[float, ...] = ()

    def configs(self, recipe: TrainConfig) -> list[TrainConfig]:
        """The recipe with other keys, once for every learning rate to look at."""
        changed = recipe.model_copy(update=dict(self.keys))
        return [changed.model_copy(update={"lr": r}) for r in self.rates or (changed.lr,)]


def _coin_flips() -> AbstractContextManager[object]:
    """Every image tosses a coin in every epoch; all other random numbers stay what they were."""
    # A training draws from generators of its own, and leaves torch's default to the coins.
    torch.manual_seed(0)
    return patch.object(engine, "flips", _coin)


def _coin(phase: Tensor, *_: Tensor) -> Tensor:
    return torch.rand_like(phase) < 0.5


def _no_flips(phase: Tensor, *_: Tensor) -> Tensor:
    return torch.zeros_like(phase, dtype=torch.bool)


class _TrainedFirst(ConvNet):
    """The first layer is a parameter (which Muon then updates), as torch would initialise it."""

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__(width, depth, classes)
        shape = self.whitening.shape
        del self.whitening
        self.whitening = nn.Parameter(torch.zeros(shape))

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        super().reset(generator, filters)
        # Drawn last, so that all other weights are those of the recipe with the same seed.
        self.whitening.copy_(_default_init(self.whitening.shape, generator))


class _BiasedFirst(ConvNet):
    """The whitened patches get a trained bias (airbench stops training it after three epochs)."""

    def __init__(self, width: int, depth: int, classes: int) -> None:
        super().__init__(width, depth, classes)
        self.whitening_bias = nn.Parameter(torch.zeros(len(self.whitening)))

    def features(self, images: Tensor) -> Tensor:
        x = F.silu(F.conv2d(images, self.whitening, self.whitening_bias), inplace=True)
        maps: Tensor = self.blocks(x)
        return maps.amax((2, 3))

    @torch.no_grad()
    def reset(self, generator: torch.Generator, filters: Tensor) -> None:
        super().reset(generator, filters)
        self.whitening_bias.zero_()


class _PoolLast(Block):
    """Norm and activation at full resolution, then pooling; for depths without a residual."""

    def forward(self, x: Tensor) -> Tensor:
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.silu(norm(conv(x)))
            if i == 0:
                x = F.max_pool2d(x, 2)
        return x


class _NormOfItsOwn(BatchNorm):
    """The scale stays 1, and the bias has 64 times the learning rate of everything else.

    Instead of the rate its gradient is multiplied, which is the same for SGD.
    """

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, momentum)
        self.weight.requires_grad_(False)
        self.bias.register_hook(lambda gradient: 64 * gradient)


def _default_init(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """What `nn.Conv2d` draws: uniform within the root of the inputs' reciprocal."""
    bound = shape[1:].numel() ** -0.5
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _other(where: object, name: str, piece: object) -> Exchange:
    return partial(patch.object, where, name, piece)


VARIANTS = {
    "recipe": Variant("recipe as it is"),
    "no-augment": Variant("no augmentation at all", {"augment": 0.0}),
    "coin-flip": Variant("flip by a coin in every epoch, not alternating", exchange=_coin_flips),
    "no-flip": Variant(
        "no flip, other augmentation as it is", exchange=_other(engine, "flips", _no_flips)
    ),
    "trained-first": Variant(
        "first layer trained from torch's initialisation, not frozen whitening",
        exchange=_other(convnet, "SPEC", NetworkSpec(("width", "depth"), _TrainedFirst)),
    ),
    "default-init": Variant(
        "convolutions start as torch's do, not as identities",
        exchange=_other(convnet, "_identity_first", _default_init),
    ),
    "pool-last": Variant(
        "pooling after norm and activation, not before",
        exchange=_other(convnet, "Block", _PoolLast),
    ),
    "ema": Variant("added: averaging of the weights", {"ema": 0.02}),
    "no-smoothing": Variant("no label smoothing", {"label_smoothing": 0.0}),
    "sgd": Variant(
        "SGD, not Muon", {"optimizer": "sgd", "momentum": 0.85}, rates=(0.75, 1.5, 3.0)
    ),
    "adamw": Variant("AdamW, not Muon", {"optimizer": "adamw"}, rates=(0.02, 0.04, 0.08, 0.16)),
    "biased-first": Variant(
        "added: a trained bias in the whitening layer",
        exchange=_other(convnet, "SPEC", NetworkSpec(("width", "depth"), _BiasedFirst)),
    ),
    "norm-of-its-own": Variant(
        "added: norms without a trained scale, their bias with 64 times the learning rate",
        exchange=_other(convnet, "BatchNorm", _NormOfItsOwn),
    ),
    "sgd-norm-of-its-own": Variant(
        "SGD, and norms without a trained scale, their bias with 64 times the learning rate",
        {"optimizer": "sgd", "momentum": 0.85},
        exchange=_other(convnet, "BatchNorm", _NormOfItsOwn),
        rates=(0.75, 1.5, 3.0),
    ),
}
"""By the name that `--variants` takes; all are compared to the first one."""
