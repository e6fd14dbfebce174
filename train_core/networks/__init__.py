"""The networks by name, without importing torch before one is built.

Every module in this folder but `base` is a network of that name: it defines a `Classifier`, and
`SPEC`, which registers it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from train_core.networks.base import Classifier


@dataclass(frozen=True)
class NetworkSpec:
    """What a module of this folder registers as `SPEC`.

    Attributes:
        keys: The keys of `[training]` that decide the network's tensors.
        build: Makes the network, with unset weights, of these keys and `classes`, all by name.
    """

    keys: tuple[str, ...]
    build: "Callable[..., Classifier]"


@dataclass(frozen=True)
class NetworkShape:
    """All that decides the tensors of a network; `settings` are its spec's keys with values."""

    network: str
    settings: tuple[tuple[str, Any], ...]
    classes: int

    @classmethod
    def of(cls, network: str, settings: Mapping[str, Any], classes: int) -> "NetworkShape":
        """The shape that settings ask for; keys that the network does not read are ignored."""
        keys = find_network(network).keys
        return cls(network, tuple((key, settings[key]) for key in keys), classes)


def network_names() -> list[str]:
    """All networks, in alphabetical order."""
    return sorted({module.name for module in iter_modules(__path__)} - {"base"})


def check_network(name: str) -> str:
    """The name itself; ValueError if there is no such network."""
    if name not in network_names():
        known = ", ".join(network_names())
        raise ValueError(f"network must be one of {known}, but got '{name}'")
    return name


def find_network(name: str) -> NetworkSpec:
    """Import a network and return what it registers; ValueError if there is no such network."""
    spec: NetworkSpec = import_module(f"{__name__}.{check_network(name)}").SPEC
    return spec


def build_network(shape: NetworkShape) -> "Classifier":
    """A network with unset weights; call `reset` before use."""
    return find_network(shape.network).build(**dict(shape.settings), classes=shape.classes)
