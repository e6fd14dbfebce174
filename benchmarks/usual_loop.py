"""The training loop that most people write, around any of our networks.

torchvision transforms on PIL images, a DataLoader with worker processes, torch.optim.SGD,
`loss.item()` every step; float32 and contiguous, or bfloat16 autocast with channels_last.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from train_core.config import TrainConfig
from train_core.engine import augment
from train_core.images import ImageData, Part
from train_core.networks import NetworkShape, build_network
from train_core.networks.base import Classifier

_WARM_UP = 4
"""Batches at the start of an epoch that do not count: the DataLoader's workers are starting."""

Transform = Callable[[Image.Image], Any]


def same_augmentation(data: ImageData, strength: float) -> list[Transform]:
    """torchvision's counterparts of what `train_core.engine.augment` does at this strength."""
    warp = transforms.RandomAffine(
        degrees=augment.TURN * strength,
        scale=(1 - augment.ZOOM * strength, 1 + augment.ZOOM * strength),
        interpolation=transforms.InterpolationMode.BILINEAR,
    )
    shift = round(augment.SHIFT * strength * data.side)
    light = augment.LIGHT * strength
    cut = (augment.CUT * strength) ** 2
    return [
        transforms.RandomCrop(data.side, padding=shift, padding_mode="reflect"),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([warp], augment.WARPED * strength),
        transforms.ColorJitter(brightness=light, contrast=light),
        *to_tensor(data),
        transforms.RandomErasing(1.0, scale=(cut, cut), ratio=(1.0, 1.0)),
    ]


def crop_and_flip(data: ImageData) -> list[Transform]:
    """The least that anybody does."""
    return [
        transforms.RandomCrop(data.side, padding=4),
        transforms.RandomHorizontalFlip(),
        *to_tensor(data),
    ]


def usual_speed(
    config: TrainConfig,
    data: ImageData,
    steps: list[Transform],
    *,
    autocast: bool,
    workers: int = 2,
) -> float:
    """Images per second of the better of two epochs.

    Args:
        config: Whose network and batch size.
        data: Whose training part.
        steps: What is done to each image.
        autocast: Whether to compute in bfloat16, with channels last.
        workers: Processes that make the batches.
    """
    network = usual_network(config, data)
    if autocast:
        network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    loader: DataLoader[Any] = DataLoader(
        Pictures(data.train, steps),
        config.batch_size,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
    )
    return max(_epoch(network, optimizer, loader, autocast=autocast) for _ in range(2))


def usual_network(config: TrainConfig, data: ImageData) -> Classifier:
    """The config's network with initial weights, and with torch's own dropout."""
    network = build_network(
        NetworkShape.of(config.network, config.model_dump(), len(data.classes))
    )
    network.reset(torch.Generator().manual_seed(config.seed), data.filters)
    # Ours expects an engine to draw its random numbers.
    network.add_module("dropout", nn.Dropout(config.dropout))
    return network.to(data.device)


def usual_step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: torch.Tensor,
    labels: torch.Tensor,
    *,
    autocast: bool = False,
) -> float:
    """One step of training, and its loss."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=autocast):
        loss = nn.functional.cross_entropy(network(images), labels, label_smoothing=0.2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def to_tensor(data: ImageData) -> list[Transform]:
    """What evaluation does, too."""
    mean, std = data.normalisation.mean.tolist(), data.normalisation.std.tolist()
    return [transforms.ToTensor(), transforms.Normalize(mean, std)]


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    *,
    autocast: bool,
) -> float:
    device, seen, started = next(network.parameters()).device, 0, 0.0
    for step, (images, labels) in enumerate(loader):
        if step == _WARM_UP:
            started = time.perf_counter()
        images, labels = images.to(device), labels.to(device)
        if autocast:
            images = images.contiguous(memory_format=torch.channels_last)
        usual_step(network, optimizer, images, labels, autocast=autocast)
        seen += len(labels) if step >= _WARM_UP else 0
    return seen / (time.perf_counter() - started)


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's CIFAR10: arrays in memory, a PIL image for every request."""

    def __init__(self, part: Part, steps: list[Transform]) -> None:
        """Hold the images of one part, and what is done to each when it is asked for."""
        self._images = part.images[list(range(len(part)))].cpu().numpy()
        self._labels = part.labels.tolist()
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._labels)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        """One image, transformed, and its label."""
        return self._transform(Image.fromarray(self._images[row])), self._labels[row]
