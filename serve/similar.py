"""`python -m serve.similar IMAGE --index FILE`: the most similar pictures of a collection.

They are found by the cosine similarity to every picture of an index; `docs/serving.md` says up to
what size that is quick.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import typer

from records.command_line import SOME_FAILED, complain, new_app, run_app, say, user_mistakes
from records.statistics import directions
from serve.index import Index
from serve.model import Model, find_model
from serve.predict import ModelOption, predictions

app = new_app()


@app.command()
def main(
    image: Annotated[Path, typer.Argument(help="a picture, or - for stdin")],
    index: Annotated[Path, typer.Option(help="what `python -m serve.index` made")],
    model: ModelOption = None,
    top: Annotated[int, typer.Option(min=1, help="pictures to name")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table")] = False,
) -> int:
    """Name the pictures of a collection that are most like this one."""
    with user_mistakes():
        loaded = Model(find_model(model))
        collection = load_collection(index, loaded)
    ((_, found),) = predictions(loaded, [image])
    if isinstance(found, str):
        complain(f"{image}: {found}")
        return SOME_FAILED
    for near in collection.nearest(found.embedding, top):
        path = str(collection.root / near.path)
        if as_json:
            values = {"path": path, "class": near.name, "similarity": near.similarity}
            sys.stdout.write(json.dumps(values) + "\n")
        else:
            say(f"{near.similarity:.4f}  {near.name:12}  {path}")
    return 0


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
    """An index in memory: the pictures' folder, their paths in it, the class that the model sees
    in each, and their embeddings, `(N, features)` float32.
    """

    def __init__(self, root: Path, paths: list[str], names: list[str], embeddings: np.ndarray):
        self.root, self.paths, self._names = root, paths, names
        self._directions = directions(embeddings)

    def __len__(self) -> int:
        return len(self.paths)

    def nearest(self, embedding: np.ndarray, count: int) -> list[Neighbour]:
        """The pictures most similar to an embedding, `(features,)` float32, best first.

        Of equal ones the first path leads. `count` is at least 1; there may be fewer pictures.
        """
        cosines = self._directions @ directions(embedding[None])[0]
        count = min(count, len(cosines))
        # Sorting all of a large collection would cost more than comparing.
        chosen = np.argpartition(-cosines, count - 1)[:count] if count else np.arange(0)
        chosen = chosen[np.lexsort((chosen, -cosines[chosen]))]
        return [
            Neighbour(int(i), self.paths[i], self._names[i], float(np.clip(cosines[i], -1, 1)))
            for i in chosen
        ]


def load_collection(path: Path, model: Model) -> Collection:
    """Read an index that this model made.

    Raises:
        ValueError: In one sentence, if it is no index, or another model's.
    """
    index = Index(path)
    index.check_model(model)
    return Collection(Path(index.root), *index.load())


if __name__ == "__main__":
    raise SystemExit(run_app(app))
