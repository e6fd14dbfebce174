"""The networks, by name: `build_network` makes one of a given shape."""

from train_core.networks.build import NetworkShape, build_network
from train_core.networks.interface import Classifier

__all__ = ["Classifier", "NetworkShape", "build_network"]
