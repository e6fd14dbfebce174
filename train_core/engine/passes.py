"""The passes of a step: forward pass and loss, compiled or not, and a step as one CUDA graph."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from train_core.networks.base import Classifier


class Targets(NamedTuple):
    """What images show that are mixed, or whose classes weigh differently.

    Attributes:
        labels: `(B,)` int64, the class of each image itself.
        others: `(B,)` int64, that of what is mixed into it.
        own: `(B,)` float32 in [0, 1], how much of it is the image itself.
        weights: `(classes,)` float32, what every class weighs.
    """

    labels: Tensor
    others: Tensor
    own: Tensor
    weights: Tensor


LossFunction = Callable[[Classifier, Tensor, Tensor | Targets, Tensor], tuple[Tensor, Tensor]]

WARM_UP = 3
"""Steps before the capture: cuDNN tries its kernels in the first one, and libraries allocate their
workspaces, neither of which a graph may hold."""


def loss_and_logits(
    network: Classifier, images: Tensor, targets: Tensor | Targets, smoothing: Tensor
) -> tuple[Tensor, Tensor]:
    """The forward pass of a step: the loss of `smoothed_cross_entropy`, or with `Targets` that of
    `mixed_cross_entropy`, and logits `(B, classes)`.

    Images are `(B, 3, H, W)`, float32 or bfloat16; the weights are cast by autocast.
    """
    with torch.autocast(images.device.type, images.dtype, images.dtype != torch.float32):
        logits = network(images)
    if isinstance(targets, Targets):
        return mixed_cross_entropy(logits, targets, smoothing), logits
    return smoothed_cross_entropy(logits, targets, smoothing), logits


def smoothed_cross_entropy(logits: Tensor, labels: Tensor, smoothing: Tensor) -> Tensor:
    """Mean cross-entropy, 0-d float32 in nats, of logits `(B, classes)` and labels `(B,)` int64.

    It is `F.cross_entropy` with a smoothing, in [0, 1), that is a 0-d tensor.
    """
    log_probabilities = F.log_softmax(logits.float(), 1)
    likelihood = log_probabilities.gather(1, labels[:, None]).mean()
    return (smoothing - 1) * likelihood - smoothing * log_probabilities.mean()


def mixed_cross_entropy(logits: Tensor, targets: Targets, smoothing: Tensor) -> Tensor:
    """The mean of the cross-entropies with both labels, by their shares and weights, 0-d.

    Either is that of `smoothed_cross_entropy`.
    """
    log_probabilities = F.log_softmax(logits.float(), 1)
    even = smoothing * log_probabilities.mean(1)

    def part(labels: Tensor, share: Tensor) -> Tensor:
        likelihood = log_probabilities.gather(1, labels[:, None])[:, 0]
        return share * targets.weights[labels] * ((smoothing - 1) * likelihood - even)

    return (part(targets.labels, targets.own) + part(targets.others, 1 - targets.own)).mean()


def capture(
    step: Callable[[], None], generator: torch.Generator, device: torch.device
) -> Callable[[], None]:
    """Record a step as a CUDA graph, and return what replays it.

    Source: the whole-network capture of https://docs.pytorch.org/docs/stable/notes/cuda.html.

    Args:
        step: Launches the kernels of one step. It must read and write tensors that stay where
            they are, and must not wait for the device. It runs `WARM_UP` times first: what it
            counts or trains has to be set back afterwards.
        generator: Where its random numbers come from; a replay goes on where the last one ended.
        device: A CUDA device.
    """
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(WARM_UP):
            step()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    graph.register_generator_state(generator)
    with torch.cuda.graph(graph, stream=aside):
        step()
    return graph.replay


def compiled(function: LossFunction) -> LossFunction:
    """Compile a function of tensors, once for every network and batch size.

    Nothing that changes from training to training may be a Python number, or it is compiled again.
    """
    import torch._dynamo  # Takes seconds.

    # From torch's own limit of 8 shapes on, one would silently run uncompiled.
    torch._dynamo.config.recompile_limit = 256
    return torch.compile(function, dynamic=False)
