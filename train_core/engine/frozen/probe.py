"""`Probe`: a training of the last layer alone, on features that are computed once."""

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from records.outcome import EpochRecord
from records.words import Objective
from train_core.config import TrainConfig
from train_core.engine.buffers import Buffers
from train_core.engine.frozen.features import Features
from train_core.engine.frozen.regression import LinearHead, fit_head
from train_core.engine.passes import quality
from train_core.images import ImageData
from train_core.images.mixing import class_weights


class Probe(Buffers):
    """The buffers of probes of one shape; a probe makes no steps."""

    def run(self, config: TrainConfig, objective: Objective = "accuracy") -> EpochRecord:
        """Train the last layer: the one record of the training, with the objective's score.

        Its seconds are those of every training like it: features are computed once for all.
        """
        features = Features(config, self.data)
        views = [features.of(view) for view in range(config.views + 1)]
        started = time.perf_counter()
        head = _head(config, self.data, [parts[0] for parts in views])
        self.set_weights(self.average, config)
        put_head(self.average.head, head)
        loss, accuracy, _ = _score(head, views[0][0], self.data.train.labels, "accuracy")
        seconds = time.perf_counter() - started
        val_loss = val_accuracy = val_score = None
        if self.data.validation is not None:
            labels = self.data.validation.labels
            val_loss, val_accuracy, val_score = _score(head, views[0][1], labels, objective)
        return EpochRecord(
            epoch=1, train_loss=loss, train_accuracy=accuracy, val_loss=val_loss,
            val_accuracy=val_accuracy, lr=0.0, seconds=seconds,
            images=len(views) * len(self.data.train), val_score=val_score,
        )  # fmt: skip


def known_features(config: TrainConfig, data: ImageData) -> list[Tensor] | None:
    """The embeddings that a probe leaves in place, of training and validation images.

    `(N, features)` float32 each, the second only if there are validation images; None for other
    trainings, which change them.
    """
    return Features(config, data).of(0) if config.method == "probe" else None


def first_head(config: TrainConfig, data: ImageData) -> LinearHead:
    """What a fine-tuning starts from: the head of a probe without augmented views."""
    return _head(config, data, [Features(config, data).of(0)[0]])


@torch.no_grad()
def put_head(layer: torch.nn.Linear, head: LinearHead) -> None:
    """Give a last layer these weights, in place."""
    layer.weight.copy_(head.weight)
    layer.bias.copy_(head.bias)


def _head(config: TrainConfig, data: ImageData, views: list[Tensor]) -> LinearHead:
    labels, classes = data.train.labels.repeat(len(views)), len(data.classes)
    weights = None
    if config.class_weights != "none":
        weights = class_weights(config.class_weights, labels, classes)[labels]
    return fit_head(torch.cat(views), labels, classes, config.l2, weights)


def _score(
    head: LinearHead, features: Tensor, labels: Tensor, objective: Objective
) -> tuple[float, float, float | None]:
    """Mean cross-entropy in nats per example, accuracy in [0, 1], and what the objective makes."""
    logits = head.logits(features)
    said = logits.argmax(1)
    loss, hits = F.cross_entropy(logits, labels).item(), (said == labels).sum().item()
    return loss, hits / len(labels), quality(objective, loss, labels, said)
