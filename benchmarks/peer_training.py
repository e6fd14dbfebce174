"""The training that the peers run: the usual loop, with a schedule and a validation."""

from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from benchmarks.peer_job import Job
from benchmarks.usual_loop import (
    Pictures,
    crop_and_flip,
    same_augmentation,
    to_tensor,
    usual_network,
    usual_step,
)
from train_core.config import TrainConfig
from train_core.images import ImageData, Part, load_test_part
from train_core.networks.base import Classifier

_REFERENCE_BATCH = 1024
"""The batch size at which the space means its learning rates."""


class UsualTraining:
    """One trial: network, SGD with a one-cycle schedule, DataLoaders.

    Args:
        config: The trial's training.
        data: What to learn from and what to score on.
        light: Whether a crop and a flip are all the augmentation.
    """

    def __init__(self, config: TrainConfig, data: ImageData, *, light: bool) -> None:
        """Build everything anew, as an objective does."""
        self.network = usual_network(config, data)
        steps = crop_and_flip(data) if light else same_augmentation(data, config.augment)
        self._train = _loader(data.train, steps, config.batch_size, training=True)
        self._data = data
        lr = config.lr * config.batch_size / _REFERENCE_BATCH
        self._optimizer = torch.optim.SGD(
            self.network.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self._schedule = OneCycleLR(
            self._optimizer, lr, epochs=config.epochs, steps_per_epoch=len(self._train)
        )

    def epoch(self) -> float:
        """Train for one epoch.

        Returns:
            The accuracy on the validation part after it.
        """
        self.network.train()
        device = self._data.device
        for images, labels in self._train:
            usual_step(self.network, self._optimizer, images.to(device), labels.to(device))
            self._schedule.step()
        assert self._data.validation is not None
        return _accuracy(self.network, self._data.validation, self._data)


def test_accuracy(job: Job, config: TrainConfig, weights: dict[str, Any]) -> float:
    """What these weights of a trial are worth on the test part."""
    data = job.images()
    network = usual_network(config, data)
    network.load_state_dict(weights)
    return _accuracy(network, load_test_part(job.prepared, data.device), data)


@torch.no_grad()
def _accuracy(network: Classifier, part: Part, data: ImageData) -> float:
    network.eval()
    hits = 0
    for images, labels in _loader(part, to_tensor(data), 256, training=False):
        found = network(images.to(data.device)).argmax(1)
        hits += (found == labels.to(data.device)).sum().item()
    return hits / len(part)


def _loader(part: Part, steps: list[Any], batch: int, *, training: bool) -> DataLoader[Any]:
    # Dropping the last images makes as many steps as a trial of convsearch has; an epoch of less
    # than one batch, in a test of this benchmark, keeps them.
    drop = training and len(part) >= batch
    return DataLoader(
        Pictures(part, steps), batch, shuffle=training, num_workers=2, drop_last=drop
    )
