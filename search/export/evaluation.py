"""The one evaluation on the test images: its numbers, and what is kept of it for reports."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from records.evaluation import ClassQuality, Evaluation, Quality
from records.pixels import SMALL, thumbnails
from records.statistics import accuracy_interval, calibration_error
from train_core.config import ImagePlace
from train_core.data.prepare import PreparedData
from train_core.engine.augment import augment, draw, flips
from train_core.images import ImageData, Normalisation, load_test_part
from train_core.images.off_device import Images
from train_core.model import TrainedModel, probabilities

_SHOWN_WRONG, _SHOWN_PER_CLASS, _AUGMENTED = 36, 8, 4
_SHOWN_LARGE = 120  # Examples of all classes together, where pictures are not small.
_STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class Tested:
    """A model evaluated on the test images."""

    plain: Evaluation  # Of one view of each image.
    mirrored: Evaluation | None  # Of both views averaged; None where mirroring makes no sense.
    without_copies: Evaluation | None  # Of images that are not in the training part, if some are.
    labels: np.ndarray  # `(N,)` int64.
    probabilities: np.ndarray  # `(N, classes)` float32, of one view.
    images: Images  # `(N, side, side, 3)` uint8.


def evaluate(
    model: TrainedModel, data: PreparedData, device: torch.device, place: ImagePlace = "auto"
) -> Tested:
    """Evaluate on the test images: the only place in a search that opens them."""
    part = load_test_part(data, device, place)
    labels = part.labels.cpu().numpy()

    def predict(mirrored: bool) -> np.ndarray:
        shown = probabilities(model.network, part.images, model.normalisation, mirrored=mirrored)
        return shown.cpu().numpy()

    said, mirrored = predict(False), None
    plain = evaluation(labels, said, data.classes)
    if data.mirror:
        mirrored = evaluation(labels, predict(True), data.classes)
    rest, without_copies = np.delete(np.arange(len(labels)), data.copies()), None
    if 0 < len(rest) < len(labels):
        without_copies = evaluation(labels[rest], said[rest], data.classes)
    return Tested(plain, mirrored, without_copies, labels, said, part.images)


def evaluation(
    labels: np.ndarray, probabilities: np.ndarray, classes: Sequence[str]
) -> Evaluation:
    """The numbers of one evaluation: true labels `(N,)` and probabilities `(N, classes)`."""
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(matrix, (labels, probabilities.argmax(1)), 1)
    right, truly, said = matrix.diagonal(), matrix.sum(1), matrix.sum(0)
    hits = int(right.sum())
    # A class that is never named, or has no images, has quality 0.
    scores = (right / np.maximum(n, 1) for n in (said, truly, (said + truly) / 2))
    per_class = {
        name: ClassQuality(precision=precision, recall=recall, f1=f1, n=n)
        for name, n, precision, recall, f1 in zip(classes, truly, *scores, strict=True)
    }
    return Evaluation(
        accuracy=hits / len(labels),
        interval_95=accuracy_interval(hits, len(labels)),
        n=len(labels),
        calibration_error=calibration_error(labels, probabilities),
        # Of a class without test images nothing is known: 0 would be a claim.
        macro=Quality.mean(quality for quality in per_class.values() if quality.n),
        per_class=per_class,
        confusion_matrix=matrix.tolist(),
    )


def shown_pictures(tested: Tested, paths: Sequence[str]) -> dict[str, np.ndarray]:
    """Labels and probabilities of all test images; the pictures that a report shows.

    `paths` are those of all test images.
    """
    predicted, confidence = tested.probabilities.argmax(1), tested.probabilities.max(1)
    wrong = np.flatnonzero(predicted != tested.labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:_SHOWN_WRONG]
    classes, each, most = tested.probabilities.shape[1], _SHOWN_PER_CLASS, len(tested.labels)
    if tested.images.shape[1] > SMALL:
        each, most = max(1, min(each, _SHOWN_LARGE // classes)), _SHOWN_LARGE
    examples = [np.flatnonzero(tested.labels == label)[:each] for label in range(classes)]
    rows = np.concatenate([worst, np.concatenate(examples)[:most]])
    return {
        "labels": tested.labels,
        "probabilities": tested.probabilities.astype(np.float32),
        "picture_rows": rows,
        "picture_paths": np.array([paths[row] for row in rows], dtype=np.str_),
        "pictures": thumbnails(tested.images[torch.from_numpy(rows)].cpu().numpy()),
        "wrong_count": np.array(len(worst)),
    }


def augmented_pictures(
    data: ImageData, chosen: float, resolution: int | None = None
) -> dict[str, np.ndarray]:
    """One training picture of some classes at each strength, with the same draw at all of them.

    The strength `chosen` for the final training, in [0, 1], is among those shown; `resolution` is
    that training's.

    Returns:
        "augmented" `(pictures, strengths, side, side, 3)` uint8 in the colours of the original,
        and "augment_strengths" `(strengths,)` float32, rising.
    """
    labels = data.train.labels
    rows = [int(torch.nonzero(labels == label)[0]) for label in labels.unique()[:_AUGMENTED]]
    images = data.train.images[rows].cpu()
    own = data.normalisation
    norm = Normalisation(own.mean.cpu(), own.std.cpu(), data.view(resolution))
    strengths = torch.tensor(sorted({*_STRENGTHS, chosen}))
    random = torch.Generator().manual_seed(1)
    draws, phase = draw(len(rows), images.device, random), torch.rand(len(rows), generator=random)
    shown = []
    for strength in strengths:
        flipped = flips(phase, torch.tensor(0), strength) & data.mirror
        augmented = augment(images, flipped, draws, strength, norm).permute(0, 2, 3, 1)
        pixels = (augmented * norm.std + norm.mean) * 255
        shown.append(thumbnails(pixels.round().clamp(0, 255).to(torch.uint8).numpy()))
    return {"augmented": np.stack(shown, 1), "augment_strengths": strengths.numpy()}
