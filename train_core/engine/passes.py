"""Forward pass and loss, compiled or not; what answers are worth."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from records.words import Objective
from train_core.images.mixing import Targets
from train_core.networks.base import Classifier

LossFunction = Callable[[Classifier, Tensor, Tensor | Targets, Tensor], tuple[Tensor, Tensor]]


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


def compiled(function: LossFunction) -> LossFunction:
    """Compile a function of tensors, once for every network and batch size.

    Nothing that changes from training to training may be a Python number, or it is compiled again.
    """
    import torch._dynamo  # Takes seconds.

    # From torch's own limit of 8 shapes on, one would silently run uncompiled.
    torch._dynamo.config.recompile_limit = 256
    return torch.compile(function, dynamic=False)


def quality(objective: Objective, loss: float, labels: Tensor, said: Tensor) -> float | None:
    """What an objective makes of answers, in [0, 1]; None where it is the accuracy.

    Args:
        objective: Which one.
        loss: Mean cross-entropy of the images in nats.
        labels: `(N,)` int64, true classes.
        said: `(N,)` int64, predicted ones.
    """
    if objective == "accuracy":
        return None
    if objective == "log_loss":
        return math.exp(-loss)  # NaN stays what it is, and infinity is 0.
    return float((recall if objective == "balanced_accuracy" else f1)(labels, said))


def recall(labels: Tensor, said: Tensor) -> Tensor:
    """Mean recall over the classes that `labels` has, 0-d in [0, 1]; `(N,)` int64 both."""
    true, hits, _ = _counts(labels, said)
    return (hits / true)[true > 0].mean()


def f1(labels: Tensor, said: Tensor) -> Tensor:
    """Mean F1 over the classes that `labels` has, 0-d in [0, 1]; `(N,)` int64 both."""
    true, hits, predicted = _counts(labels, said)
    return (2 * hits / (true + predicted))[true > 0].mean()


def _counts(labels: Tensor, said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By class: how many there are, how many of them are said to be it, and how many images."""
    most = int(torch.maximum(labels.max(), said.max())) + 1
    found = (labels, labels[labels == said], said)
    # On the CPU, where there is double precision.
    true, hits, predicted = (torch.bincount(of.cpu(), minlength=most).double() for of in found)
    return true, hits, predicted
