"""What pruning rules would have stopped: complete curves, met in many random orders."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from studies.config import StudyConfig

_ORDERS = 200


class Effect(NamedTuple):
    """What a rule does, on average over orders.

    Attributes:
        study: The keys of `[study]` that make the rule.
        saved: Share of the epochs that are not trained, in [0, 1).
        kept: Share of the orders in which the point that ends best is trained to its end.
        lost: By how much the best that is left is worse than the best of all.
    """

    study: dict[str, str | int | float]
    saved: float
    kept: float
    lost: float


def effects(scores: np.ndarray, seed: int = 0) -> list[Effect]:
    """What each of many rules does to these points, one after the other in 200 random orders.

    Args:
        scores: `(points, epochs)`.
        seed: Of the orders.
    """
    random = np.random.default_rng(seed)
    orders = np.array([random.permutation(len(scores)) for _ in range(_ORDERS)])
    return [_effect(scores[orders], study) for study in _rules(scores.shape[1])]


def _effect(curves: np.ndarray, study: dict[str, str | int | float]) -> Effect:
    trained = epochs_trained(curves, StudyConfig.model_validate(study))
    epochs = curves.shape[2]
    ends, done = curves[:, :, -1], trained == epochs
    best = np.where(done, ends, -np.inf).max(1)
    return Effect(
        study,
        float(1 - trained.mean() / epochs),
        float((best == ends.max(1)).mean()),
        float((ends.max(1) - best).mean()),
    )


def _rules(epochs: int) -> Iterator[dict[str, str | int | float]]:
    """Rules that differ for trainings of so many epochs."""
    quiet = sorted({1, 2, 3, epochs // 4, epochs // 3, epochs // 2} & {*range(1, epochs)})
    for first in quiet:
        after: dict[str, str | int | float] = {"prune_after": round(first / epochs, 4)}
        for startup in (5, 10):
            common = {**after, "startup_trials": startup}
            yield {"pruner": "median", **common}
            yield from ({"pruner": "percentile", "keep": keep, **common} for keep in (0.75, 0.9))
        yield {"pruner": "successive-halving", **after}


def epochs_trained(curves: np.ndarray, study: StudyConfig) -> np.ndarray:
    """After how many epochs each trial ends, `(orders, trials)`, run one after the other.

    The rules are those that `studies.algorithms.build_pruner` makes.

    Args:
        curves: `(orders, trials, epochs)`, trials in the order in which they are run.
        study: The pruner `median`, `percentile` or `successive-halving`, and its keys.
    """
    orders, trials, epochs = curves.shape
    quiet = max(1, round(study.prune_after * epochs))
    trained = np.full((orders, trials), epochs)
    for trial in range(trials):
        for epoch in range(quiet + 1, epochs):
            running = trained[:, trial] == epochs
            before, scores = trained[:, :trial], curves[:, :, epoch - 1]
            if study.pruner == "successive-halving":
                reached = _looked_at(epoch, quiet + 1)
                falls = _not_leading(scores, before >= epoch, trial) if reached else False
            elif (epoch - quiet - 1) % quiet:
                continue
            else:
                keep = 0.5 if study.pruner == "median" else study.keep
                own = curves[:, trial, :epoch].max(1)
                falls = own < _bound(scores[:, :trial], before == epochs, 1 - keep, study)
            trained[running & falls, trial] = epoch
    return trained


def _bound(
    scores: np.ndarray, complete: np.ndarray, share: float, study: StudyConfig
) -> np.ndarray:
    """The score of the complete trials below which one is pruned; -inf where there are too few."""
    count = complete.sum(1)
    enough = count >= max(1, study.startup_trials)
    # NumPy's percentile takes rows of one length only; this is the same, with its interpolation.
    ordered = np.sort(np.where(complete, scores, np.inf)[enough], axis=1)
    place = share * (count[enough] - 1)
    below, above = (end(place).astype(int)[:, None] for end in (np.floor, np.ceil))
    low, high = (np.take_along_axis(ordered, at, 1)[:, 0] for at in (below, above))
    bound = np.full(len(scores), -np.inf)
    bound[enough] = low + (high - low) * (place - below[:, 0])
    return bound


def _looked_at(epoch: int, first: int) -> bool:
    """Whether successive halving by threes looks at trials after this epoch."""
    rung = first
    while rung < epoch:
        rung *= 3
    return rung == epoch


def _not_leading(scores: np.ndarray, reached: np.ndarray, trial: int) -> np.ndarray:
    """Which trials are not among the best third of those that got so far, themselves included."""
    own = scores[:, trial]
    others = np.where(reached, scores[:, :trial], -np.inf)
    ordered = -np.sort(-np.column_stack([others, own]), axis=1)
    places = np.maximum((reached.sum(1) + 1) // 3 - 1, 0)
    return np.asarray(own < ordered[np.arange(len(own)), places])
