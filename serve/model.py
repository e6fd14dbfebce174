"""`Model`: an exported `best/` folder, ready to say what pictures show."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from records.metrics import Metrics, read_metrics
from records.pixels.heat import ACTIVATION, heat, with_activation
from serve.familiar import read_familiarity

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

# Pictures per run of the network: more per run were not faster (`docs/serving.md`).
MOST_AT_ONCE = 64
# Fewer of large pictures, so that the network's intermediate results stay small.
_PIXELS_AT_ONCE = 1_000_000
# And fewer whose maps are large.
_VALUES_AT_ONCE = 4_000_000


class Prediction(NamedTuple):
    """What a model says of one picture.

    Attributes:
        probabilities: `(classes,)` float32, their sum is 1.
        embedding: `(features,)` float32; similar pictures point in similar directions.
        distance: To the training pictures, 0 to 2; None if the export does not tell.
        heat: `(h, w)` float32 in [0, 1], where the most probable class is seen, by
            `records.pixels.heat`; None if that was not asked for.
    """

    probabilities: np.ndarray
    embedding: np.ndarray
    distance: float | None
    heat: np.ndarray | None = None

    def top(self, classes: tuple[str, ...], count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities; of equal ones the first leads."""
        order = (-self.probabilities).argsort(kind="stable")[:count]
        return [(classes[label], float(self.probabilities[label])) for label in order]


class Model:
    """A model as it was exported, in a `best/` folder. Safe to use from several threads.

    Attributes:
        folder: What a search exported: `model.onnx` and `metrics.json` are needed.
        metrics: What the export says of it.
        familiarity: What it says of the training pictures; None in exports of earlier versions.
        unexplained: Why it cannot show where it looks, a sentence; None if it can.

    Raises:
        ValueError: In one sentence, if the folder does not hold a model that can be used.
    """

    def __init__(self, folder: Path, threads: int = 1) -> None:
        self.folder = folder
        self.metrics = metrics_of(folder)
        self._session, self.unexplained = _opened(folder, threads, self.metrics.maps)
        self._only = _only_what_is_asked_for()
        taken = [tuple(i.shape[1:]) for i in self._session.get_inputs() if i.name == "images"]
        given = [(o.name, o.shape[1]) for o in self._session.get_outputs()[:1]]
        expected = (self.side, self.side, 3), ("probabilities", len(self.classes))
        if (taken, given) != ([expected[0]], [expected[1]]):
            raise ValueError(
                f"model.onnx must take {self.side}x{self.side} images and know "
                f"{len(self.classes)} classes, as metrics.json says, but takes {taken} and gives "
                f"{given}: '{folder}' holds files of different exports"
            )
        self.familiarity = read_familiarity(folder, self.features)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by label."""
        return self.metrics.data.classes

    @property
    def side(self) -> int:
        """Height and width in pixels of the pictures that it takes."""
        return self.metrics.data.image_size

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

    def predict(self, images: np.ndarray, *, explained: bool = False) -> list[Prediction]:
        """What it says of `(N, side, side, 3)` uint8 images, and where it looks if that is asked.

        Raises:
            ValueError: It cannot show where it looks; see `unexplained`.
        """
        predictions: list[Prediction] = []
        for _, (probabilities, embeddings, *activation) in self._run(images, explained):
            heats: Iterable[np.ndarray | None] = repeat(None)
            if explained:
                heats = heat(activation[0], probabilities.argmax(1))
            distances = self._distances(embeddings)
            predictions += map(Prediction, probabilities, embeddings, distances, heats)
        return predictions

    def explain(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Where it sees a class: `(N, h, w)` float32 in [0, 1], by `records.pixels.heat`.

        Args:
            images: `(N, side, side, 3)` uint8, N at least 1.
            labels: `(N,)` int, the class of each that is asked about; None = the most probable.

        Raises:
            ValueError: It cannot show where it looks; see `unexplained`.
        """
        found = []
        for rows, (probabilities, _, activation) in self._run(images, explained=True):
            asked = probabilities.argmax(1) if labels is None else labels[rows]
            found.append(heat(activation, asked))
        return np.concatenate(found)

    def _run(
        self, images: np.ndarray, explained: bool
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        """Rows, with their probabilities, embeddings, and activation if that is asked for."""
        names, at_once = ["probabilities", "embedding"], self.at_once
        if explained:
            if self.unexplained is not None:
                raise ValueError(self.unexplained)
            assert isinstance(self.metrics.maps, tuple)
            names.append(ACTIVATION)
            values = len(self.classes) * math.prod(self.metrics.maps)
            at_once = min(at_once, max(1, _VALUES_AT_ONCE // values))
        for start in range(0, len(images), at_once):
            rows = slice(start, start + at_once)
            yield rows, self._session.run(names, {"images": images[rows]}, self._only)

    def _distances(self, embeddings: np.ndarray) -> list[float] | list[None]:
        if self.familiarity is None:
            return [None] * len(embeddings)
        found: list[float] = self.familiarity.distances(embeddings).tolist()
        return found


def find_model(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The `best/` folder that was asked for, or the only one there is.

    Raises:
        ValueError: None was asked for, and there is not exactly one below `runs/`.
    """
    if given is not None:
        return given
    found = sorted(path.parent for path in runs.glob("*/best/metrics.json"))
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, found)) or "none"
    raise ValueError(
        f"without --model there must be exactly one model in {runs}/*/best, but there are "
        f"{len(found)} ({there}): say which with --model"
    )


def metrics_of(folder: Path) -> Metrics:
    """What an exported `best/` folder says of itself.

    Raises:
        ValueError: In one sentence, if it is none.
    """
    try:
        return read_metrics(folder)
    except OSError:
        raise ValueError(
            f"a model must be a folder that a search exported (runs/<study>/best), but '{folder}' "
            f"holds no readable metrics.json"
        ) from None


def _opened(
    folder: Path, threads: int, maps: tuple[int, int] | str | None
) -> tuple["InferenceSession", str | None]:
    """The network of an export with these maps, and why it cannot show where it looks."""
    path, reason = folder / "model.onnx", maps or "it was exported by an earlier version"
    if isinstance(maps, tuple):
        reason = "model.onnx computes no activation, although metrics.json says so"
        try:
            return _session(with_activation(path.read_bytes()), path, threads), None
        except (OSError, ValueError):
            pass  # A file with 8 bits, for instance, still predicts.
    session = _session(path, path, threads)
    return session, f"this model cannot show where it looks: {reason}"


def _only_what_is_asked_for() -> "RunOptions":
    from onnxruntime import RunOptions

    options = RunOptions()
    # Else maps are computed for those, too, who do not ask for them.
    options.only_execute_path_to_fetches = True
    return options


def _session(model: bytes | Path, path: Path, threads: int) -> "InferenceSession":
    # It starts a thread when it is imported, and the service forks before it loads a model.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the cores from those that decode pictures.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Patterns are remembered per shape, and batches have every size: memory would grow for long.
    options.enable_mem_pattern = False
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime has its own exceptions per status, none of them in its documented interface.
    except Exception as error:  # noqa: BLE001
        raise ValueError(
            f"a model must be a file that ONNX Runtime can load, but '{path}': {error}"
        ) from None
