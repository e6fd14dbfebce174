"""How often a threshold promises more than it keeps: claims of 95 % that are false, by simulation.

    python -m benchmarks.thresholds [--draws 2000]

Held-out pictures are drawn again and again from a world whose truth is known, three correlated
trainings answer, and thresholds are chosen for each class. A claim is false if, at the chosen
threshold, fewer than 95 % of the answers are right in that world. It must be in a tenth of the
draws at most. "Before" is the way of version 0.1.0: the lowest of all thresholds whose Wilson
interval (one-sided, 90 %) reaches 95 %.

Three worlds: *flat*, where 94.5 % of the answers are right whatever their confidence;
*calibrated*, where confidence is uniform from 50 to 100 % and is the chance to be right; *good*,
where 99 % are right, so that no claim is false, and what counts is how often one is made.
"""

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks.measure import head
from records.statistics import wilson_interval
from serve.thresholds import HeldOut, per_class

PRECISION = 0.95
_TRAININGS = 3
_SHARED = 0.8  # Share of the pictures about which all trainings are right or wrong together.

Choose = Callable[[HeldOut, int], list[float | None]]  # The thresholds of so many classes.


class World(NamedTuple):
    """Where pictures come from.

    Attributes:
        right: Confidence `(...)` -> chance to be right, of the same shape.
        precision: Threshold -> share of the answers from there on that are right.
    """

    right: Callable[[np.ndarray], np.ndarray]
    precision: Callable[[float], float]


WORLDS = {
    "flat": World(lambda confidence: np.full_like(confidence, 0.945), lambda _: 0.945),
    "calibrated": World(lambda confidence: confidence, lambda threshold: (1 + threshold) / 2),
    "good": World(lambda confidence: np.full_like(confidence, 0.99), lambda _: 0.99),
}


class Rates(NamedTuple):
    """Of `n` chances to make a claim, the share that was used, and the share of false claims."""

    made: float
    false: float
    n: int


def rates(choose: Choose, world: World, classes: int, pictures: int, draws: int) -> Rates:
    """Choose thresholds in at least so many draws for one class, with a fixed seed."""
    random = np.random.default_rng(classes * pictures)
    made = false = 0
    repeats = -(-draws // classes)
    for _ in range(repeats):
        found = choose(_held_out(world, classes, pictures, random), classes)
        claims = [threshold for threshold in found if threshold is not None]
        made += len(claims)
        false += sum(world.precision(threshold) < PRECISION for threshold in claims)
    return Rates(made / (repeats * classes), false / (repeats * classes), repeats * classes)


def _held_out(world: World, classes: int, pictures: int, random: np.random.Generator) -> HeldOut:
    """Pictures, evenly of all classes, and what the trainings say of them."""
    labels = random.integers(classes, size=pictures)
    shape = (_TRAININGS, pictures)
    confidence = np.broadcast_to(random.uniform(0.5, 1, pictures), shape)
    together = random.uniform(size=pictures) < _SHARED
    luck = np.where(together, random.uniform(size=pictures), random.uniform(size=shape))
    wrong = (labels + random.integers(1, classes, size=shape)) % classes
    return HeldOut(labels, np.where(luck < world.right(confidence), labels, wrong), confidence)


def after(held: HeldOut, classes: int) -> list[float | None]:
    """What `serve.tag --precision` does."""
    found = per_class(held, [str(label) for label in range(classes)], PRECISION)
    return [one.probability for one in found.values()]


def before(held: HeldOut, classes: int) -> list[float | None]:
    """What it did in version 0.1.0."""
    return [_before(held, held.predicted == label) for label in range(classes)]


def _before(held: HeldOut, chosen: np.ndarray) -> float | None:
    confidence, right = held.confidence[chosen], held.right[chosen]
    order = np.argsort(-confidence, kind="stable")
    accepted = np.arange(1, len(order) + 1) / _TRAININGS
    hits = np.cumsum(right[order]) / _TRAININGS
    low, _ = wilson_interval(hits, accepted, confidence=0.8)
    good = np.flatnonzero(low >= PRECISION)
    return float(confidence[order][good[-1]]) if len(good) else None


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=True)
    parser.add_argument("--draws", type=int, default=2000, help="least claims per cell")
    draws = parser.parse_args().draws
    print(head())
    print(f"claims of {PRECISION:.0%} per class, n = {draws:,} or more chances per cell\n")
    print("| classes | pictures | false, flat: before, after | false, calibrated: before, after "
          "| made, good: before, after |")  # fmt: skip
    print("| --- | --- | --- | --- | --- |")
    for classes in (2, 10, 100):
        for pictures in (20, 100, 300, 1000, 5000):
            cells = [f"{classes}", f"{pictures:,}"]
            for name, world in WORLDS.items():
                found = [rates(way, world, classes, pictures, draws) for way in (before, after)]
                shown = [one.made if name == "good" else one.false for one in found]
                cells.append(", ".join(f"{share:.1%}" for share in shown))
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
