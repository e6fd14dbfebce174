"""Features of a frozen backbone: computed once per image and augmented view, and kept by content.

They are kept for all rows of a training part, so that every trial, confirmation and fold, and the
final training, finds those that another one needed.
"""

import hashlib
import json
from collections.abc import Iterator
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from records.files import is_full_disk
from train_core.config import MOST_LEVELS, TrainConfig
from train_core.engine.augment import augment, draw
from train_core.engine.buffers import EngineShape, network_on
from train_core.engine.frozen.feature_files import FeatureFile
from train_core.engine.frozen.folding import folded
from train_core.images import ImageData, Normalisation, images_at_once
from train_core.networks import TIMM, NetworkShape, build_network
from train_core.networks.base import Classifier
from train_core.networks.weights.files import find_weights
from train_core.networks.weights.initial import initial_weights

STRENGTH = 0.5
"""Of the augmentation of all views but the first ones: fixed, so that trials share them."""

_FORMAT = 2  # Raise it whenever the same images get other features.
_BLOCK = 64  # Images between two writes: seconds on a CPU.


def feature_steps(config: TrainConfig, data: ImageData) -> Iterator[int]:
    """Compute what a training needs of features, if it is a probe or a fine-tuning.

    Whatever is in the cache is not computed again, by whichever process it was. Without a cache
    (`ImageData.stored`) features are kept in memory, by this `data`.

    Yields:
        How many of the `features_needed` are there, after every few seconds.

    Raises:
        OSError: They cannot be written, for instance because the disk is full.
    """
    yield from Features(config, data).steps()


def features_needed(config: TrainConfig, data: ImageData) -> int:
    """How many features a training needs, one per image and view; 0 for one of everything."""
    return Features(config, data).count


class Features:
    """Those that one training needs, in float32 whatever the training's precision."""

    def __init__(self, config: TrainConfig, data: ImageData) -> None:
        self._config, self._data = config, data
        views = {"full": 0, "probe": 1 + config.views, "fine_tune": 1}
        self._views = range(views[config.method])
        parts = [part for part in (data.train, data.validation) if part is not None]
        self._starts = np.cumsum([0, *(len(part) for part in parts)])
        if data.stored is None:
            self._rows, self._total = np.arange(self._starts[-1]), int(self._starts[-1])
        else:
            self._rows = np.concatenate([data.stored.train, data.stored.validation])
            self._total = len(data.stored.images)

    @property
    def count(self) -> int:
        """One per image and view."""
        return len(self._views) * len(self._rows)

    def steps(self) -> Iterator[int]:
        """As `feature_steps`."""
        for view in self._views:
            for there in self._fill(view):
                yield view * len(self._rows) + there

    def of(self, view: int) -> list[Tensor]:
        """Of the training images and, if there are some, the validation images, `(N, F)` each.

        View 0 is the images as they are scored, 1 the mirrored ones where mirroring is allowed.
        """
        for _ in self._fill(view):
            pass
        width = _width(EngineShape.of(self._config, self._data).network)
        # Rows of one piece, as products are fast with.
        whole = torch.from_numpy(np.ascontiguousarray(self._read(view)[:, :width]))
        whole = whole.to(self._data.device)
        return list(whole.split(np.diff(self._starts).tolist()))

    def _read(self, view: int) -> np.ndarray:
        file, name = self._file(view), self._name(view)
        if file is None or name in self._data.computed:
            return self._data.computed[name]
        return file.read(self._rows)

    def _fill(self, view: int) -> Iterator[int]:
        file = self._file(view)
        if file is None or self._name(view) in self._data.computed:
            yield from self._fill_memory(view)
            return
        try:
            yield from self._fill_file(file, view)
        except OSError as error:
            if is_full_disk(error):
                raise
            # The cache can only be read, for instance.
            yield from self._fill_memory(view)

    def _fill_file(self, file: FeatureFile, view: int) -> Iterator[int]:
        while (missing := file.missing(self._rows)).any():
            yield int((~missing).sum())
            with file.lock(seconds=1) as mine:
                # Whoever held the lock may have computed them.
                for rows in self._blocks(file) if mine else ():
                    file.write(rows, self._compute(rows, view))
                    yield int((~file.missing(self._rows)).sum())
        yield len(self._rows)

    def _blocks(self, file: FeatureFile) -> Iterator[np.ndarray]:
        """Rows to compute together: always the same, so that a kill changes no bit."""
        ascending = np.sort(self._rows)
        for rows in np.split(ascending, range(_BLOCK, len(ascending), _BLOCK)):
            if file.missing(rows).any():
                yield rows

    def _fill_memory(self, view: int) -> Iterator[int]:
        if self._name(view) in self._data.computed:
            yield len(self._rows)
            return
        found, done = [], 0
        for rows in np.split(self._rows, range(_BLOCK, len(self._rows), _BLOCK)):
            found.append(self._compute(rows, view))
            done += len(rows)
            yield done
        self._data.computed[self._name(view)] = np.concatenate(found)

    @torch.inference_mode()
    def _compute(self, rows: np.ndarray, view: int) -> np.ndarray:
        """`(len(rows), F)` float32."""
        found = []
        # Half of what fits anywhere: on a CPU, less leaves its caches as rarely.
        images = self._images(rows)
        for at in torch.arange(len(rows)).split(max(1, images_at_once(images.shape[1]) // 2)):
            shown = self._shown(images[at], rows[at.numpy()], view)
            exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, allow_tf32=False)
            with exact:
                ready = shown.contiguous(memory_format=torch.channels_last)
                found.append(self._backbone.features(ready).cpu())
        return torch.cat(found).numpy()

    def _images(self, rows: np.ndarray) -> Tensor:
        """`(len(rows), S, S, 3)` uint8 on the device."""
        data = self._data
        if data.stored is not None:
            return torch.from_numpy(data.stored.images.take(rows)).to(data.device)
        trained = rows < self._starts[1]
        held_out = torch.from_numpy(rows[~trained] - self._starts[1])
        images = [data.train.images[torch.from_numpy(rows[trained])]]
        if data.validation is not None:
            images.append(data.validation.images[held_out])
        return torch.cat(images)

    def _shown(self, images: Tensor, rows: np.ndarray, view: int) -> Tensor:
        if view == 0:
            return self._normalisation(images)
        if view == 1 and self._data.mirror:
            return self._normalisation(images.flip(2))
        # Of all rows, so that a row's view does not depend on those beside it.
        random = torch.Generator().manual_seed(view)
        draws = draw(self._total, torch.device("cpu"), random)[rows]
        flipped = torch.rand(self._total, generator=random)[rows] < 0.5 * self._data.mirror
        strength = torch.tensor(STRENGTH, device=images.device)
        here = draws.to(images.device), flipped.to(images.device)
        return augment(images, here[1], here[0], strength, self._normalisation)

    @cached_property
    def _shape(self) -> EngineShape:
        """With all levels, whose first features are those of fewer: one pass serves all trials."""
        most = {"levels": MOST_LEVELS} if self._config.network.startswith(TIMM) else {}
        return EngineShape.of(self._config.model_copy(update=most), self._data)

    @cached_property
    def _normalisation(self) -> Normalisation:
        own, device = self._data.normalisation, self._data.device
        given = initial_weights(
            self._shape.network, self._config.weights, self._config.weights_sha256
        )
        if given is None or given.mean is None or given.std is None:
            return Normalisation(own.mean, own.std, self._shape.view)
        return Normalisation(given.mean.to(device), given.std.to(device), self._shape.view)

    @cached_property
    def _backbone(self) -> Classifier:
        network = network_on(self._shape.network, self._data.device).eval().requires_grad_(False)
        config = self._config
        given = initial_weights(self._shape.network, config.weights, config.weights_sha256)
        assert given is not None
        network.copy_state(given.tensors)
        trial = self._normalisation(self._images(self._rows[:2]))
        return folded(network, trial.contiguous(memory_format=torch.channels_last))

    @cached_property
    def _key(self) -> str:
        """A name for all that decides the features of an image as it is scored."""
        config, shape, normalisation = self._config, self._shape, self._normalisation
        weights = find_weights(config.network, config.weights, config.weights_sha256)
        assert weights is not None
        view, stored = shape.view, self._data.stored
        facts = [
            _FORMAT, "" if stored is None else stored.sha256, config.network, weights.facts.sha256,
            view.stored, view.crop, view.side, normalisation.mean.tolist(),
            normalisation.std.tolist(), self._data.device.type,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:20]

    def _name(self, view: int) -> str:
        kind = "scored"
        if view:
            kind = f"{view}-{STRENGTH:g}{'-mirror' if self._data.mirror else ''}"
        return str(Path(self._key) / kind)

    def _file(self, view: int) -> FeatureFile | None:
        stored = self._data.stored
        if stored is None:
            return None
        width = _width(self._shape.network)
        path = (stored.folder / self._name(view)).with_suffix(".npy")
        return FeatureFile(path, (self._total, width))


@cache
def _width(shape: NetworkShape) -> int:
    """How many features an image has."""
    return build_network(shape).head.in_features
