"""`Model`: an exported `best/` folder, ready to answer."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import onnxruntime

from serve.facts import Facts, read_facts

MOST_AT_ONCE = 64
"""Pictures per run of the network: more per run were not faster (`docs/serving.md`)."""

_PIXELS_AT_ONCE = 1_000_000
"""Fewer of large pictures, so that the network's intermediate results stay small."""


@dataclass(frozen=True)
class Answers:
    """What a model says of N pictures.

    Attributes:
        probabilities: `(N, classes)` float32, each row sums to 1.
        embeddings: `(N, features)` float32; similar pictures point in similar directions.
    """

    probabilities: np.ndarray
    embeddings: np.ndarray

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.probabilities)

    def rows(self, start: int, end: int) -> "Answers":
        """Those of some of the pictures."""
        return Answers(self.probabilities[start:end], self.embeddings[start:end])


class Model:
    """A model as it was exported. Safe to use from several threads.

    Attributes:
        folder: The `best/` folder.
        facts: What the export says of it.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        """Load a `best/` folder.

        Args:
            folder: What a search exported: `model.onnx` and `metrics.json` are needed.
            threads: Threads that compute one run of the network.

        Raises:
            ValueError: In one sentence, if the folder does not hold a model that can be used.
        """
        self.folder = folder
        self.facts: Facts = read_facts(folder)
        self._session = _session(folder / "model.onnx", threads)
        self._check()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.facts.data.classes

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that it takes."""
        return self.facts.data.image_size

    @property
    def features(self) -> int:
        """Length of an embedding."""
        return int(self._session.get_outputs()[1].shape[1])

    @property
    def at_once(self) -> int:
        """Pictures per run of the network."""
        return min(MOST_AT_ONCE, max(1, _PIXELS_AT_ONCE // self.side**2))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `model.onnx`: what tells one model from another."""
        return hashlib.sha256((self.folder / "model.onnx").read_bytes()).hexdigest()

    def answer(self, images: np.ndarray) -> Answers:
        """What it says of `(N, side, side, 3)` uint8 images, N at least 1."""
        starts = range(0, len(images), self.at_once)
        runs = [self._session.run(None, {"images": images[i : i + self.at_once]}) for i in starts]
        return Answers(np.concatenate([r[0] for r in runs]), np.concatenate([r[1] for r in runs]))

    def _check(self) -> None:
        """Whether the network is the one that the facts are about."""
        taken = [tuple(i.shape[1:]) for i in self._session.get_inputs() if i.name == "images"]
        given = [(o.name, o.shape[1]) for o in self._session.get_outputs()[:1]]
        expected = (self.side, self.side, 3), ("probabilities", len(self.classes))
        if (taken, given) != ([expected[0]], [expected[1]]):
            raise ValueError(
                f"model.onnx must take {self.side}x{self.side} images and know "
                f"{len(self.classes)} classes, as metrics.json says, but takes {taken} and gives "
                f"{given}: '{self.folder}' holds files of different exports"
            )


def _session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Patterns are remembered per shape, and batches have every size: memory would grow for long.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime has its own exceptions per status, none of them in its documented interface.
    except Exception as error:  # noqa: BLE001
        raise ValueError(
            f"a model must be a file that ONNX Runtime can load, but '{path}': {error}"
        ) from None
