"""Networks by name and shape. To add one: write a `Classifier`, and name it in `build_network`."""

from dataclasses import dataclass

from train_core.config import Network, TrainConfig
from train_core.networks.convnet import ConvNet
from train_core.networks.interface import Classifier


@dataclass(frozen=True)
class NetworkShape:
    """All that decides the tensors of a network."""

    network: Network
    width: int
    depth: int
    classes: int

    @classmethod
    def of(cls, config: TrainConfig, classes: int) -> "NetworkShape":
        """The shape that a training config asks for."""
        return cls(config.network, config.width, config.depth, classes)


def build_network(shape: NetworkShape) -> Classifier:
    """A network with unset weights; call `reset` before use."""
    if shape.network == "convnet":
        return ConvNet(shape.width, shape.depth, shape.classes)
    # Importing torchvision takes seconds, which a search over convnets need not wait for.
    from train_core.networks.resnet import SmallResNet

    return SmallResNet(shape.width, shape.depth, shape.classes)
