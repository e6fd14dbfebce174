"""A trained network: scored on images, and saved as one file that describes itself."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from records.words import Objective
from train_core.engine import Engine, Probe
from train_core.engine.passes import quality
from train_core.images import Normalisation, Part, images_at_once
from train_core.images.off_device import Images
from train_core.images.view import View
from train_core.networks import NetworkShape, build_network
from train_core.networks.base import Classifier
from train_core.networks.weights.reading import MEAN, MODEL_FACTS, STD, read_safetensors


@dataclass(frozen=True)
class TrainedModel:
    """A network in evaluation mode, what `build_network` makes it from, and the images it is for.

    `classes` are the names by label; `image_size` is the side in pixels.
    """

    network: Classifier
    shape: NetworkShape
    normalisation: Normalisation
    classes: tuple[str, ...]
    image_size: int


def trained_model(engine: Engine | Probe) -> TrainedModel:
    """The averaged network of an engine, in its buffers: the next training overwrites it."""
    network, data = engine.shape.network, engine.data
    return TrainedModel(engine.average, network, engine.normalisation, data.classes, data.side)


def save_model(path: Path, model: TrainedModel) -> None:
    """Write a model, weights on the CPU in float32."""
    tensors = {name: _plain(tensor) for name, tensor in model.network.state_dict().items()}
    tensors |= {MEAN: _plain(model.normalisation.mean), STD: _plain(model.normalisation.std)}
    shape = {"network": model.shape.network, **dict(model.shape.settings)}
    shape["classes"] = model.shape.classes
    facts = {"shape": shape, "classes": model.classes, "image_size": model.image_size}
    if model.normalisation.view is not None:
        facts["view"] = asdict(model.normalisation.view)
    # `save_file` makes a file that nobody else may read.
    path.write_bytes(save(tensors, metadata={MODEL_FACTS: json.dumps(facts)}))


def load_model(path: Path) -> TrainedModel:
    """Read a model onto the CPU.

    Raises:
        ValueError: The file is not a model of convsearch, or its network is not here.
    """
    facts, tensors = read_safetensors(path, MODEL_FACTS)
    if facts is None:
        raise ValueError(f"a model must be a file that convsearch saved, but '{path}' is not")
    # Models of 0.1.0 see the images as they are.
    view = View(**facts["view"]) if "view" in facts else None
    normalisation = Normalisation(tensors.pop(MEAN), tensors.pop(STD), view)
    saved = facts["shape"]
    shape = NetworkShape.of(saved["network"], saved, saved["classes"])
    network = build_network(shape).to(memory_format=torch.channels_last).eval()
    if tensors.keys() != network.state_dict().keys():
        raise ValueError(
            f"a model must have the tensors of its network, but '{path}' and "
            f"'{shape.network}' differ: use the versions of its metrics.json"
        )
    network.copy_state(tensors)
    network.requires_grad_(False)
    classes = tuple(facts["classes"])
    return TrainedModel(network, shape, normalisation, classes, facts["image_size"])


@torch.no_grad()
def logits_of(
    network: Classifier,
    images: Images,
    normalisation: Normalisation,
    dtype: torch.dtype = torch.float32,
    mirrored: bool = False,
) -> Iterator[Tensor]:
    """Logits without augmentation, `(up to images_at_once(H), classes)` float32 each.

    The network must be in evaluation mode, on the device of the images, `(N, H, W, 3)` uint8. It
    works in the precision `dtype`, and is shown each image `mirrored` if that is set.
    """
    for batch in images.split(images_at_once(images.shape[1])):
        shown = normalisation(batch.flip(2) if mirrored else batch)
        # On a GPU: no trial runs of kernels for sizes that come a few times, no TF32 for float32.
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
        # A generator must not yield in here: its caller would run under autocast.
        with exact, torch.autocast(images.device.type, dtype, enabled=dtype != torch.float32):
            logits = network(shown.to(dtype, memory_format=torch.channels_last))
        yield logits.float()


def score(
    network: Classifier, part: Part, normalisation: Normalisation, dtype: torch.dtype
) -> tuple[float, float]:
    """Mean cross-entropy in nats per example, and accuracy in [0, 1], on one part."""
    found = scores(network, part, normalisation, dtype)
    return found.loss, found.accuracy


class Scores(NamedTuple):
    """What a network comes to on one part.

    Attributes:
        loss: Mean cross-entropy in nats per example.
        accuracy: In [0, 1].
        chosen: What was asked for, in [0, 1]; None where that is the accuracy.
    """

    loss: float
    accuracy: float
    chosen: float | None


def scores(
    network: Classifier,
    part: Part,
    normalisation: Normalisation,
    dtype: torch.dtype,
    objective: Objective = "accuracy",
) -> Scores:
    """Score a network on one part, by an objective too; arguments as `logits_of`."""
    loss = torch.zeros((), device=part.labels.device)
    hits = torch.zeros((), dtype=torch.int64, device=part.labels.device)
    batches = logits_of(network, part.images, normalisation, dtype)
    all_labels = part.labels.split(images_at_once(part.images.shape[1]))
    said = []
    for logits, labels in zip(batches, all_labels, strict=True):
        loss += F.cross_entropy(logits, labels, reduction="sum")
        predicted = logits.argmax(1)
        hits += (predicted == labels).sum()
        said.append(predicted)
    mean = loss.item() / len(part)
    chosen = quality(objective, mean, part.labels, torch.cat(said))
    return Scores(mean, hits.item() / len(part), chosen)


def probabilities(
    network: Classifier, images: Images, normalisation: Normalisation, mirrored: bool = False
) -> Tensor:
    """Class probabilities `(N, classes)` float32, computed in float32; arguments as `logits_of`.

    With `mirrored`, those of each image and its mirror image are averaged.
    """
    plain = torch.cat([b.softmax(1) for b in logits_of(network, images, normalisation)])
    if not mirrored:
        return plain
    other = [b.softmax(1) for b in logits_of(network, images, normalisation, mirrored=True)]
    return (plain + torch.cat(other)) / 2


@torch.no_grad()
def embeddings(network: Classifier, images: Images, normalisation: Normalisation) -> Tensor:
    """What the last layer sees of each image, `(N, features)` float32; arguments as `logits_of`.

    It is what an exported model gives as `embedding`.
    """
    found = []
    for batch in images.split(images_at_once(images.shape[1])):
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
        with exact:
            shown = normalisation(batch).to(memory_format=torch.channels_last)
            found.append(network.features(shown))
    return torch.cat(found)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", torch.float32).contiguous().clone()
