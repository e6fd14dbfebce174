"""A trained network as one safetensors file that says by itself what it is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from train_core.engine import Engine
from train_core.images import Normalisation
from train_core.networks import Classifier, NetworkShape, build_network

_MEAN, _STD = "normalisation.mean", "normalisation.std"


@dataclass(frozen=True)
class TrainedModel:
    """A network with everything that is needed to use it.

    Attributes:
        network: In evaluation mode.
        shape: What `build_network` makes it from.
        normalisation: Of the images it was trained on.
        classes: Names of the classes, by label.
        image_size: Side of the images it was trained on, in pixels.
    """

    network: Classifier
    shape: NetworkShape
    normalisation: Normalisation
    classes: tuple[str, ...]
    image_size: int


def trained_model(engine: Engine) -> TrainedModel:
    """The averaged network of an engine, in its buffers: the next training overwrites it."""
    data = engine.data
    return TrainedModel(
        engine.average, engine.shape.network, data.normalisation, data.classes, data.side
    )


def save_model(path: Path, model: TrainedModel) -> None:
    """Write a model, weights on the CPU in float32."""
    tensors = {name: _plain(tensor) for name, tensor in model.network.state_dict().items()}
    tensors |= {_MEAN: _plain(model.normalisation.mean), _STD: _plain(model.normalisation.std)}
    facts = {
        "shape": asdict(model.shape),
        "classes": model.classes,
        "image_size": model.image_size,
    }
    # `save_file` makes a file that nobody else may read.
    path.write_bytes(save(tensors, metadata={"convsearch": json.dumps(facts)}))


def load_model(path: Path) -> TrainedModel:
    """Read a model onto the CPU.

    Raises:
        ValueError: The file is not a model of convsearch.
    """
    facts, tensors = _read(path)
    if facts is None:
        raise ValueError(f"a model must be a file that convsearch saved, but '{path}' is not")
    normalisation = Normalisation(tensors.pop(_MEAN), tensors.pop(_STD))
    shape = NetworkShape(**facts["shape"])
    network = build_network(shape).to(memory_format=torch.channels_last).eval()
    network.load_state_dict(tensors)
    network.requires_grad_(False)
    return TrainedModel(
        network, shape, normalisation, tuple(facts["classes"]), facts["image_size"]
    )


def _read(path: Path) -> tuple[Any, dict[str, Tensor]]:
    """What a file says of itself, None if it is not one of ours, and its tensors by name."""
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("convsearch", "null"))
            return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:
        return None, {}


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous().clone()
