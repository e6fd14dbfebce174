"""What people do with a folder of pictures, without us: three ways, each in a process of its own.

    python -m benchmarks.usual_ways probe FOLDER [--seed 0] [--pictures N] [--side N]

FOLDER has train and test, a folder per class in both. Prints JSON: of every test picture the class
predicted, and what was chosen. Nothing here is ours but the names of the embedded weights.

probe: the frozen EfficientNet-Lite0 at 224 pixels with timm's transforms, and scikit-learn's
    logistic regression, its C chosen by five-fold cross-validation.
scratch: torchvision's ResNet-18 from scratch at 128 pixels: SGD, cosine, crop and flip.
tune: the same EfficientNet-Lite0, all of it trained with timm's augmentation, AdamW and cosine.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from timm.optim import create_optimizer_v2  # type: ignore[attr-defined]
from timm.scheduler.cosine_lr import CosineLRScheduler
from torch import nn
from torch.utils.data import DataLoader
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

from train_core.networks.weights.files import EMBEDDED, EMBEDDED_NETWORK, find_weights
from train_core.networks.weights.initial import in_order
from train_core.networks.weights.reading import read_tensors

PICTURES = 8_000
"""Training pictures that `scratch` and `tune` see in all, but for the limits on the epochs: about
20 minutes of a core (AMD EPYC, Zen 3), which takes 94 and 129 ms for one, and 10 ms to load it."""

_MOST, _LEAST = 30, 1
"""Epochs: small sets are seen so often at most, large ones once at least."""

_BATCH = 32
_WORKERS = 2

Transform = Callable[[Any], torch.Tensor]


def main() -> None:
    """Do one of them, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=PICTURES, help="seen in training, in all")
    parser.add_argument("--side", type=int, help="of the pictures in training and test, in pixels")
    options = vars(parser.parse_args())
    torch.manual_seed(options["seed"])
    way, folder = WAYS[options.pop("way")], options.pop("folder")
    predicted, chosen = way(folder, **{k: v for k, v in options.items() if v is not None})
    test = ImageFolder(folder / "test")
    named = {
        Path(path).relative_to(folder).as_posix(): test.classes[label]
        for (path, _), label in zip(test.samples, predicted, strict=True)
    }
    print(json.dumps({"predicted": named, "chosen": chosen}))


def probe(folder: Path, seed: int, pictures: int, side: int = 224) -> tuple[Any, str]:
    """Features once, then a logistic regression."""
    del pictures
    network = _backbone()
    network.reset_classifier(0)
    transform = create_transform(**_preprocessing(network, side))
    train, test = (ImageFolder(folder / part, transform) for part in ("train", "test"))
    head = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": [0.0001, 0.001, 0.01, 0.1, 1.0]},
        cv=StratifiedKFold(5, shuffle=True, random_state=seed),
    )
    head.fit(_outputs(network, train), train.targets)
    best = f"C {head.best_params_['logisticregression__C']}, {head.best_score_:.2%} in CV"
    return head.predict(_outputs(network, test)).tolist(), best


def scratch(folder: Path, seed: int, pictures: int, side: int = 128) -> tuple[Any, str]:
    """The loop of the tutorials."""
    del seed
    normal = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    last = [transforms.ToTensor(), normal]
    crop = [transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip()]
    whole = [transforms.Resize(side * 8 // 7), transforms.CenterCrop(side)]
    train = ImageFolder(folder / "train", transforms.Compose([*crop, *last]))
    test = ImageFolder(folder / "test", transforms.Compose([*whole, *last]))
    network = models.resnet18(num_classes=len(train.classes))
    epochs = _epochs(pictures, len(train))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * _steps(train))
    _train(network, train, epochs, optimizer, lambda _: cosine.step(), smoothing=0.0)
    return _outputs(network, test).argmax(1).tolist(), f"{epochs} epochs at {side} pixels"


def tune(folder: Path, seed: int, pictures: int, side: int = 160) -> tuple[Any, str]:
    """As timm's training script: its augmentation, label smoothing 0.1, warm-up and cosine."""
    del seed
    network = _backbone()
    config = _preprocessing(network, side)
    train = ImageFolder(folder / "train", create_transform(**config, is_training=True))
    test = ImageFolder(folder / "test", create_transform(**config))
    network.reset_classifier(len(train.classes))
    epochs = _epochs(pictures, len(train))
    steps = epochs * _steps(train)
    optimizer = create_optimizer_v2(network, "adamw", lr=5e-4, weight_decay=0.05)
    cosine = CosineLRScheduler(
        optimizer, steps, warmup_t=steps // 10, warmup_lr_init=1e-6, t_in_epochs=False
    )
    cosine.step_update(0)
    _train(network, train, epochs, optimizer, cosine.step_update, smoothing=0.1)
    return _outputs(network, test).argmax(1).tolist(), f"{epochs} epochs at {side} pixels"


WAYS = {"probe": probe, "scratch": scratch, "tune": tune}


def _backbone() -> Any:
    network: Any = timm.create_model(EMBEDDED_NETWORK.removeprefix("timm/"))
    file = find_weights(EMBEDDED_NETWORK, EMBEDDED)
    assert file is not None
    network.load_state_dict(in_order(EMBEDDED_NETWORK, read_tensors(file.path)), strict=False)
    return network


def _preprocessing(network: Any, side: int) -> dict[str, Any]:
    asked = {"input_size": (3, side, side)}
    return dict(resolve_data_config(asked, model=network))  # type: ignore[no-untyped-call]


@torch.no_grad()
def _outputs(network: nn.Module, pictures: ImageFolder) -> np.ndarray:
    network.eval()
    batches = DataLoader(pictures, 64, num_workers=_WORKERS)
    return torch.cat([network(images) for images, _ in batches]).numpy()


def _epochs(pictures: int, count: int) -> int:
    return min(_MOST, max(_LEAST, round(pictures / count)))


def _steps(train: ImageFolder) -> int:
    return len(train) // _BATCH


def _train(
    network: nn.Module,
    train: ImageFolder,
    epochs: int,
    optimizer: torch.optim.Optimizer,
    stepped: Callable[[int], Any],
    *,
    smoothing: float,
) -> None:
    loader = DataLoader(train, _BATCH, shuffle=True, drop_last=True, num_workers=_WORKERS)
    loss_of = nn.CrossEntropyLoss(label_smoothing=smoothing)
    done = 0
    network.train()
    for _ in range(epochs):
        for images, labels in loader:
            loss = loss_of(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            stepped(done := done + 1)


if __name__ == "__main__":
    main()
