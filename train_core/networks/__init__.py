"""The networks by name, without importing torch before one is built.

Every module in this folder but `base` is a network of that name: it defines a `Classifier`, and
`SPEC`, which registers it. Networks of other people's code have names with a mark in them:
`timm/NAME` is a model of timm, `package.module:build` the user's own (see `foreign`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train_core.networks.base import Classifier

TIMM = "timm/"
_FOREIGN = re.compile(r"timm/\w[\w.-]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*")

OWN_KEYS = ("width", "depth")
"""Keys of `[training]` that only the networks of this folder have."""

OF_TIMM = ("drop_path", "levels")
"""Keys of `[training]` that only networks of timm have; 0 stands for none."""


@dataclass(frozen=True)
class Preprocessing:
    """How pictures were prepared for the training that a network's weights come from.

    Attributes:
        mean: Of each channel, black = 0, white = 1.
        std: Of each channel.
        interpolation: `bilinear`, `bicubic`, ...: how pictures were resized.
        crop: Side of the centre crop as a share of the resized picture's short side, in (0, 1].
        side: Height and width of the crop in pixels.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    crop: float
    side: int


@dataclass(frozen=True)
class NetworkSpec:
    """What a module of this folder registers as `SPEC`.

    Attributes:
        keys: The keys of `[training]`, and `image_size`, that decide the network's tensors.
        build: Makes the network, with unset weights, of these keys and `classes`, all by name.
        preprocessing: What its published weights ask for; None = there are none.
    """

    keys: tuple[str, ...]
    build: "Callable[..., Classifier]"
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class NetworkShape:
    """All that decides the tensors of a network; `settings` are its spec's keys with values."""

    network: str
    settings: tuple[tuple[str, Any], ...]
    classes: int

    @classmethod
    def of(cls, network: str, settings: Mapping[str, Any], classes: int) -> "NetworkShape":
        """The shape that settings ask for; keys that the network does not read are ignored.

        Of keys that only timm's networks have, 0 is the same as none: models of before know none.
        """
        keys = [key for key in find_network(network).keys if key not in OF_TIMM]
        keys += [key for key in OF_TIMM if key in find_network(network).keys and settings.get(key)]
        return cls(network, tuple((key, settings[key]) for key in keys), classes)


def network_names() -> list[str]:
    """All networks of this folder, in alphabetical order."""
    return sorted({m.name for m in iter_modules(__path__) if not m.ispkg} - {"base"})


def is_foreign(name: str) -> bool:
    """Whether a network is made by other people's code: it then has no width and no depth."""
    return _FOREIGN.fullmatch(name) is not None


def check_network(name: str) -> str:
    """The name itself; ValueError if it cannot be a network's.

    Whether timm has such a model, or the user such a builder, shows when it is first looked for.
    """
    if not is_foreign(name) and name not in network_names():
        known = ", ".join(network_names())
        raise ValueError(
            f"network must be one of {known}, timm/NAME or package.module:build, but got '{name}'"
        )
    return name


def find_network(name: str) -> NetworkSpec:
    """Import a network and return what it registers; ValueError if there is no such network."""
    module = f"{__name__}.{check_network(name)}"
    if is_foreign(name):
        module = f"{__name__}.foreign.{'timm_models' if name.startswith(TIMM) else 'own'}"
        found: NetworkSpec = import_module(module).spec_of(name)
        return found
    spec: NetworkSpec = import_module(module).SPEC
    return spec


def build_network(shape: NetworkShape) -> "Classifier":
    """A network with unset weights; call `reset` before use."""
    return find_network(shape.network).build(**dict(shape.settings), classes=shape.classes)
