"""How far a picture is from those that a model learned from: `familiarity.npz` of an export.

A network names one of its classes whatever it is shown. Pictures of none of them tend to lie far
from all training pictures in the space of its embeddings.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from zipfile import is_zipfile

import numpy as np

from records.statistics import directions, neighbour_distances

FILE = "familiarity.npz"


@dataclass(frozen=True)
class Familiarity:
    """What an export says of its training pictures.

    Attributes:
        known: `(N, features)` float32, embeddings of training pictures, of length 1.
        neighbours: Which of the nearest tells the distance, from 1 to N.
        limit: Distance above which a picture is unlike them, from 0 to 2.
        because: Where that comes from, a sentence.
    """

    known: np.ndarray
    neighbours: int
    limit: float
    because: str

    def distances(self, embeddings: np.ndarray) -> np.ndarray:
        """`(B,)` distances of `(B, features)` embeddings, from 0 to 2."""
        return neighbour_distances(self.known, embeddings, self.neighbours)


@contextmanager
def exported_arrays(path: Path) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of an `.npz` file in a `best/` folder, to be read and checked within.

    Raises:
        FileNotFoundError: There is none; exports of earlier versions have fewer files.
        ValueError: In one sentence, if it is damaged, or whatever else goes wrong within.
    """
    try:
        with path.open("rb") as opened:
            if not is_zipfile(opened):
                raise ValueError("it is no archive, or not whole")
            opened.seek(0)
            with np.load(opened) as file:
                yield file
    except FileNotFoundError:
        raise
    # Damage shows in whatever zipfile, zlib or NumPy stumble over.
    except Exception as error:  # noqa: BLE001
        raise ValueError(
            f"'{path}' must be what a search exported, but: {error or type(error).__name__}: "
            f"export it again (python -m search.finalize)"
        ) from None


def read_familiarity(folder: Path, features: int) -> Familiarity | None:
    """What a `best/` folder says of its training pictures; None if it is of an earlier version.

    Raises:
        ValueError: In one sentence, if the file is damaged or of a model with other embeddings.
    """
    path = folder / FILE
    try:
        with exported_arrays(path) as file:
            embeddings = file["known"].astype(np.float32)
            neighbours, limit = int(file["neighbours"]), float(file["limit"])
            share, pictures = float(file["share"]), int(file["pictures"])
            if not np.isfinite(embeddings).all():
                raise ValueError("an embedding holds what is no number")
            # No picture would be beyond a limit that is no number.
            if not 0 <= limit <= 2:
                raise ValueError(f"limit must be from 0 to 2, but is {limit}")
            known = directions(embeddings)
    except FileNotFoundError:
        return None
    if known.shape[1:] != (features,) or not 0 < neighbours <= len(known):
        raise ValueError(
            f"'{path}' must hold embeddings of {features} numbers, as model.onnx gives them, but "
            f"holds {known.shape}: the folder holds files of different exports"
        )
    because = f"Of {pictures} pictures that were held out, {share:.0%} are further away."
    return Familiarity(known, neighbours, limit, because)
