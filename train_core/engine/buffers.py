"""`EngineShape`: all that decides the buffers of a training; `Buffers`: what every kind has."""

from dataclasses import dataclass, replace

import torch

from train_core.config import Method, Optimizer, TrainConfig
from train_core.device import has_float64, resolve_precision
from train_core.images import ImageData, Normalisation
from train_core.images.mixing import is_mixed
from train_core.images.view import View
from train_core.networks import NetworkShape, build_network
from train_core.networks.base import Classifier
from train_core.networks.weights.initial import initial_weights


@dataclass(frozen=True)
class EngineShape:
    """All that decides the buffers of an engine; trainings of one shape share it."""

    network: NetworkShape
    batch_size: int
    optimizer: Optimizer
    dtype: torch.dtype
    view: View  # How it sees the images.
    cuda_graph: bool = False
    compile: bool = False
    mixed: bool = False  # Whether images are erased or mixed, or classes weigh differently.
    method: Method = "full"
    frozen_stages: int = 0

    @classmethod
    def of(
        cls, config: TrainConfig, data: ImageData, *, captures: bool | None = None
    ) -> "EngineShape":
        """The shape that a training on this data needs.

        `captures` says whether something records steps there; None = on a CUDA device.
        """
        dtype = resolve_precision(config.precision, data.device)
        view = data.view(config.resolution)
        settings = {**config.model_dump(), "image_size": view.side}
        network = NetworkShape.of(config.network, settings, len(data.classes))
        if config.method == "probe":  # It makes no steps.
            return cls(network, 2, "sgd", dtype, view, method="probe")
        captures = data.device.type == "cuda" if captures is None else captures
        graph = config.cuda_graph and captures
        kind = config.batch_size, config.optimizer, dtype, view
        shape = cls(network, *kind, graph, config.compile, is_mixed(config))
        if config.method == "full":
            return shape
        return replace(shape, method="fine_tune", frozen_stages=config.frozen_stages)


class Buffers:
    """The network that a training makes, in buffers that the next one of its shape overwrites.

    Attributes:
        average: The trained network, in evaluation mode.
        normalisation: That of the data, or what the weights ask for that the training begins with.
    """

    def __init__(self, shape: EngineShape, data: ImageData) -> None:
        self.shape, self.data = shape, data
        self.average = network_on(shape.network, data.device).eval().requires_grad_(False)
        # Copies, since a captured step reads them where they are.
        own = data.normalisation
        self.normalisation = Normalisation(own.mean.clone(), own.std.clone(), shape.view)

    def set_weights(self, network: Classifier, config: TrainConfig) -> None:
        """Put the weights of a file in the place of drawn ones, if the training starts there."""
        own = self.data.normalisation
        given = initial_weights(self.shape.network, config.weights, config.weights_sha256)
        if given is not None:
            network.copy_state(given.tensors)
        mean, std = (None, None) if given is None else (given.mean, given.std)
        self.normalisation.mean.copy_(own.mean if mean is None else mean)
        self.normalisation.std.copy_(own.std if std is None else std)


def network_on(shape: NetworkShape, device: torch.device) -> Classifier:
    """A network with unset weights, where and as it is trained."""
    network = build_network(shape)
    if not has_float64(device):
        network.float()
    return network.to(device).to(memory_format=torch.channels_last)
