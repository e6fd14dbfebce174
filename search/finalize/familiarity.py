"""From which distance on a picture is unlike those that the exported model learned from.

The limit shall flag 5 % of the pictures of the model's own kind, and that shows only on pictures
that it did not learn from. The exported model learned from all but the test images, and those are
for measuring. What is left are the confirmations of the winner: the same training on images
without the validation part. Distances of two networks do not compare, but how much further away
new pictures are than learned ones does. What the confirmations tell of that is applied to the
distances among the training images of the exported model.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from records.evaluation import FamiliarityFacts
from records.statistics import directions, neighbour_distances

if TYPE_CHECKING:
    from torch import Tensor

    from train_core.images import ImageData, Normalisation, Part
    from train_core.images.off_device import Images
    from train_core.model import TrainedModel
    from train_core.networks.base import Classifier

FLAGGED = 0.05  # Share of the pictures of its own kind that may be called unlike them.
NEIGHBOURS_PER_IMAGE = 1 / 1000  # As Sun et al. (2022) chose it: 50 of 50,000.
MOST = 4000  # Images that are compared with, or judged.
NO_GAPS = (
    "no familiarity.npz: the confirmations of the winner kept no distances, since they diverged "
    "or an earlier version made them, so pictures of none of the classes can pass as sure"
)
_Rows = TypeVar("_Rows", "Tensor", "Images")
_MANY = 100  # Held-out images: five of them lie beyond the limit.
_FARTHEST = 2.0  # No two pictures are further apart, whatever the confirmations make of it.
_CLOSEST = 1e-6  # In units of distance: what float32 can tell apart.


class Gap(NamedTuple):
    """How far away a confirmation found images: `(N,)` float32 distances to training images.

    Attributes:
        learned: Of training images, to the others among them.
        held_out: Of validation images.
    """

    learned: np.ndarray
    held_out: np.ndarray

    def limit(self, learned: np.ndarray) -> float:
        """What new pictures exceed in `FLAGGED` of all cases, for another network's `learned`.

        Where many images were held out, by the ratio of the two quantiles. Few have no such
        quantile worth the name: there, the logarithms of distances are taken to keep their shape,
        moved and stretched as much as those of the confirmation.
        """
        if len(self.held_out) >= _MANY:
            return _quantile(learned) * _quantile(self.held_out) / _quantile(self.learned)
        other, own, new = (_logs(one) for one in (learned, self.learned, self.held_out))
        stretch = new.std() / max(own.std(), _CLOSEST)
        from_mean = np.log(_quantile(learned)) - other.mean()
        return float(np.exp(other.mean() + new.mean() - own.mean() + stretch * from_mean))


def gap(network: "Classifier", data: "ImageData", normalisation: "Normalisation") -> Gap:
    """What a trained network finds in the data, with a validation part, that it was trained on.

    `normalisation` is that of its training.
    """
    assert data.validation is not None
    known = _embeddings(network, data.train.images, normalisation)
    new = _embeddings(network, data.validation.images, normalisation)
    return _gap(known, new)


def gap_between(learned: "Tensor", held_out: "Tensor") -> Gap:
    """The same, where the embeddings are known already: `(N, features)` float32 each."""
    return _gap(*(directions(_some(one).cpu().numpy()) for one in (learned, held_out)))


def familiarity(
    model: "TrainedModel", train: "Part", gaps: Sequence[Gap], learned: "Tensor | None" = None
) -> dict[str, np.ndarray]:
    """The content of `familiarity.npz`, for a model that was trained on these images.

    `gaps` are those of confirmations, at least one; `learned` are the images' embeddings
    `(N, features)`, where they are known already.
    """
    if learned is None:
        known = _embeddings(model.network, train.images, model.normalisation)
    else:
        known = directions(_some(learned).cpu().numpy())
    limits = [min(one.limit(_among(known)), _FARTHEST) for one in gaps]
    return {
        "known": known.astype(np.float16),
        "neighbours": np.array(_neighbours(known)),
        "limit": np.array(np.median(limits)),
        "share": np.array(FLAGGED),
        "pictures": np.array(len(gaps[0].held_out)),
    }


def beyond(
    model: "TrainedModel", known: Mapping[str, np.ndarray], images: "Images"
) -> FamiliarityFacts:
    """How many test images, `(N, side, side, 3)` uint8, are beyond the limit of `familiarity`."""
    found = _embeddings(model.network, images, model.normalisation)
    reference = directions(known["known"].astype(np.float32))
    distances = neighbour_distances(reference, found, int(known["neighbours"]))
    limit = float(known["limit"])
    share = float((distances > limit).mean())
    return FamiliarityFacts(limit=limit, wanted=FLAGGED, share=share, n=len(distances))


def _embeddings(network: "Classifier", images: "Images", norm: "Normalisation") -> np.ndarray:
    """`(N, features)` float32 of length 1: of `MOST` images, evenly spread, or of all."""
    from train_core.model import embeddings

    return directions(embeddings(network, _some(images), norm).cpu().numpy())


def _some(of_images: _Rows) -> _Rows:
    return of_images[:: max(1, -(-len(of_images) // MOST))]


def _gap(known: np.ndarray, new: np.ndarray) -> Gap:
    return Gap(_among(known), neighbour_distances(known, new, _neighbours(known)))


def _among(known: np.ndarray) -> np.ndarray:
    """Distances of what is known to the rest of it: the nearest of all is each one itself."""
    return neighbour_distances(known, known, _neighbours(known) + 1)


def _neighbours(known: np.ndarray) -> int:
    return 1 + int(len(known) * NEIGHBOURS_PER_IMAGE)


def _logs(distances: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(np.maximum(distances, _CLOSEST)))


def _quantile(distances: np.ndarray) -> float:
    """What one more distance exceeds in `FLAGGED` of all cases: split conformal prediction.

    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World", 2005.
    """
    place = min(len(distances), math.ceil((len(distances) + 1) * (1 - FLAGGED)))
    return max(float(np.sort(distances)[place - 1]), _CLOSEST)
