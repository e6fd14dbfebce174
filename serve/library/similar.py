"""The most similar pictures: cosine similarity to every picture of an index."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from serve.library.index import Index
from serve.model import Model


class Neighbour(NamedTuple):
    """A similar picture.

    Attributes:
        picture: Its place in the collection.
        path: Relative to the collection's folder.
        name: The class that the model sees in it.
        similarity: Cosine of the angle between the embeddings, in [-1, 1]; the same picture has 1.
    """

    picture: int
    path: str
    name: str
    similarity: float


class Collection:
    """An index in memory. Brute force: `docs/serving.md` says up to what size that is quick."""

    def __init__(self, root: Path, paths: list[str], names: list[str], embeddings: np.ndarray):
        """Take an index.

        Args:
            root: The folder of the pictures.
            paths: Of every picture, relative to it.
            names: The class that the model sees in each.
            embeddings: `(N, features)` float32.
        """
        self.root, self.paths, self._names = root, paths, names
        self._directions = unit(embeddings)

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.paths)

    def nearest(self, embedding: np.ndarray, count: int) -> list[Neighbour]:
        """The most similar pictures, the most similar first; of equal ones by path.

        Args:
            embedding: `(features,)` float32.
            count: How many, at least 1; fewer if there are fewer.
        """
        cosines = self._directions @ unit(embedding[None])[0]
        count = min(count, len(cosines))
        # Sorting all of a large collection would cost more than comparing.
        chosen = np.argpartition(-cosines, count - 1)[:count] if count else np.arange(0)
        chosen = chosen[np.lexsort((chosen, -cosines[chosen]))]
        return [
            Neighbour(int(i), self.paths[i], self._names[i], float(np.clip(cosines[i], -1, 1)))
            for i in chosen
        ]


def unit(embeddings: np.ndarray) -> np.ndarray:
    """The same directions with length 1; zeros, which have none, stay zeros."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    scaled: np.ndarray = embeddings / np.maximum(lengths, np.finfo(np.float32).tiny)
    return scaled


def load_collection(path: Path, model: Model) -> Collection:
    """Read an index that this model made.

    Raises:
        ValueError: In one sentence, if it is no index, or another model's.
    """
    index = Index(path)
    index.check_model(model)
    return Collection(Path(index.root), *index.load())
