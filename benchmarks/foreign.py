"""How many pictures of none of its classes a model calls unsure, and how many of its own.

    python -m benchmarks.foreign runs/x/best OWN FOREIGN... [--most 2000]

OWN is a folder of pictures of the model's classes that it has not seen, such as the test part of
its data; FOREIGN are folders of pictures of none of them. Of large folders an even share is
taken. The limits are those of the export; besides, the distance is judged at the limit that flags
exactly 5 % of OWN, which tells how well it separates whatever the calibration does.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import head
from records.statistics import accuracy_interval, neighbour_distances
from serve.answer import limits_of
from serve.model import Model, Prediction
from serve.predict import below, predictions


def main() -> None:
    """Print a row per folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path)
    parser.add_argument("folders", type=Path, nargs="+", help="OWN, then FOREIGN folders")
    parser.add_argument("--most", type=int, default=2000, help="pictures per folder")
    options = parser.parse_args()
    model = Model(options.best)
    if model.familiarity is None:
        parser.error(f"the export must hold distances, but '{options.best}' has none")
    limits = limits_of(model)
    print(head())
    print(f"unsure below {limits.below:.3f}, beyond {limits.beyond:.4g}")
    print("folder | n | by probability | by distance | by either | at 5 % own")
    exact = None
    for folder in options.folders:
        found = _look(model, folder, options.most)
        distances = np.array([one.distance for one in found])
        exact = np.quantile(distances, 0.95) if exact is None else exact
        doubts = [limits.doubts(one) for one in found]
        shares = (
            ["probability" in one for one in doubts],
            ["distance" in one for one in doubts],
            list(map(bool, doubts)),
            list(distances > exact),
        )
        print(" | ".join([str(folder), str(len(found)), *map(_share, shares)]))
    print(f"a distance takes {_milliseconds(model):.3f} ms")


def _look(model: Model, folder: Path, most: int) -> list[Prediction]:
    paths = list(below(folder))
    chosen = paths[:: max(1, -(-len(paths) // most))]
    return [one for _, one in predictions(model, chosen) if not isinstance(one, str)]


def _share(flagged: list[bool]) -> str:
    low, high = accuracy_interval(sum(flagged), len(flagged))
    return f"{np.mean(flagged):.1%} ({low:.1%} to {high:.1%})"


def _milliseconds(model: Model) -> float:
    known = model.familiarity
    assert known is not None
    one, rounds = np.ones((1, model.features), np.float32), 200
    start = time.perf_counter()
    for _ in range(rounds):
        neighbour_distances(known.known, one, known.neighbours)
    return 1000 * (time.perf_counter() - start) / rounds


if __name__ == "__main__":
    main()
