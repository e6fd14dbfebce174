"""The file of recorded learning curves: a line of JSON about all, then one for each training.

It ends in `.jsonl`, or in `.jsonl.gz` when it is complete. A line is written at once, so that a
recording which is killed loses the trainings that were running and no other.
"""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from records.files import write_whole
from space import Space, Value


class Head(BaseModel):
    """What all trainings of a file share.

    Attributes:
        dataset: Name of the images.
        sha256: Of the training images.
        recipe: Name of the recipe.
        space: What the points are drawn from.
        fixed: Key -> value of what is not searched, for the space's conditions.
        epochs: Number of training images -> epochs of every training.
        validation: Validation images of the last epoch.
        about: Hardware and versions, in words.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    sha256: str
    recipe: str
    space: Space
    fixed: dict[str, Any]
    epochs: dict[int, int]
    validation: int
    about: str


class Training(BaseModel):
    """One training to its end.

    Attributes:
        images: Training images.
        index: Which point; the same one has the same index with all numbers of images.
        repeat: 0 for the first training of a point, 1 for that with a second seed, ...
        method: `full`, `probe` or `fine_tune`.
        params: Parameter name -> value.
        scores: What a search sees after each epoch, in [0, 1]; fewer if it did not end.
        test: Accuracy on the test images, which no search sees; None if it was not measured.
        seconds: Of the steps of each epoch.
        state: How it ended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: int
    index: int
    repeat: int
    method: str = "full"
    params: dict[str, Value]
    scores: list[float]
    test: float | None
    seconds: list[float]
    state: Literal["complete", "diverged", "out of memory"]

    @property
    def key(self) -> tuple[int, int, int]:
        """What no two trainings of a file have in common."""
        return self.images, self.index, self.repeat

    def curve(self, epochs: int, chance: float) -> np.ndarray:
        """Scores of so many epochs, `(epochs,)`.

        A shorter training is read at the same shares of its own epochs; one that did not end is as
        good as chance from then on.
        """
        if self.state != "complete":
            return np.array([*self.scores, *[chance] * epochs])[:epochs]
        shares = np.arange(1, epochs + 1) / epochs
        return np.array(self.scores)[np.ceil(shares * len(self.scores) - 1e-9).astype(int) - 1]


def read_curves(path: Path) -> tuple[Head, list[Training]]:
    """The head and the trainings of a file; a last line that was cut off is left out.

    Raises:
        ValueError: In one sentence, if it is not such a file.
    """
    lines = list(_lines(path))
    if not lines:
        raise ValueError(
            f"a file of learning curves must begin with a line about all of them, but '{path}' is "
            f"empty: python -m benchmarks.curves makes one"
        )
    return Head.model_validate_json(lines[0]), [
        Training.model_validate_json(line) for line in lines[1:]
    ]


def begin(path: Path, head: Head) -> list[Training]:
    """Make the file, or open the one that is there, and return what it has.

    Raises:
        ValueError: In one sentence, if it was made with something else.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, head.model_dump_json() + "\n")
        return []
    made, trainings = read_curves(path)
    if made.model_copy(update={"about": head.about}) != head:
        raise ValueError(
            f"a recording goes on only with the data, the space and the sizes it began with, but "
            f"'{path}' has others: name another file with --out"
        )
    # Without the end of a line that was cut off, which the next one would be appended to.
    _write(path, made, trainings)
    return trainings


def append(path: Path, training: Training) -> None:
    """Add a training."""
    with path.open("a", encoding="utf-8") as file:
        file.write(training.model_dump_json() + "\n")


def pack(path: Path) -> Path:
    """Write the same, in a fixed order, compressed beside it; returns where."""
    head, trainings = read_curves(path)
    packed = path.with_name(path.name + ".gz")
    ordered = sorted(trainings, key=lambda training: training.key)
    text = "".join(line + "\n" for line in _dumped(head, ordered))
    write_whole(packed, gzip.compress(text.encode(), mtime=0))
    return packed


def _write(path: Path, head: Head, trainings: Sequence[Training]) -> None:
    write_whole(path, "".join(line + "\n" for line in _dumped(head, trainings)))


def _dumped(head: Head, trainings: Sequence[Training]) -> Iterator[str]:
    yield head.model_dump_json()
    yield from (training.model_dump_json() for training in trainings)


def _lines(path: Path) -> Iterator[str]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    whole, _, _ = text.rpartition("\n")
    yield from (line for line in whole.split("\n") if line)
