"""`World`: what any point of a space would come to, learned from recorded curves.

A Gaussian process over the points predicts the log-odds of the score after every epoch, and of the
test accuracy, which is the truth of the replay. A training in this world is the prediction plus
the difference of two recorded trainings of one point (with different seeds, over the square root
of two), so that epochs are as correlated as they are in fact.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import spearmanr
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from benchmarks.curve_file import Head, Training
from benchmarks.curve_points import UnitSuggester, encoded, sobol_units
from space import Space, Value

_FITTED = 250  # Points, at most, that the lengths of the kernel are fitted on.
_FOLDS = 5
_ODDS = 1e-3  # Scores are kept so far from 0 and 1.


@dataclass(frozen=True)
class World:
    """What trainings of one kind, with one number of images, would come to.

    Attributes:
        space: What points are drawn from.
        fixed: Key -> value of what is not searched.
        first: Parameter name -> value of the recipe's own point.
        epochs: Of a whole training.
        model: From encoded points to the log-odds of the scores after every epoch and the truth.
        noise: `(pairs, epochs)` differences that a seed makes, in log-odds.
    """

    space: Space
    fixed: Mapping[str, object]
    first: Mapping[str, Value]
    epochs: int
    model: GaussianProcessRegressor
    noise: np.ndarray

    def train(self, params: Mapping[str, Value], random: np.random.Generator) -> np.ndarray:
        """The scores of a training after every epoch, `(epochs,)`."""
        odds = self._predicted([params])[0, :-1]
        if len(self.noise):
            odds = odds + self.noise[random.integers(len(self.noise))] * random.choice((-1, 1))
        return _share(odds)

    def truth(self, points: Sequence[Mapping[str, Value]]) -> np.ndarray:
        """The true accuracies of points, `(N,)`."""
        return _share(self._predicted(points)[:, -1])

    @cached_property
    def best(self) -> float:
        """The highest true accuracy among 4,096 points that fill the space."""
        return float(self.truth(list(self.spread(4096))).max())

    def spread(self, count: int) -> Sequence[Mapping[str, Value]]:
        """Points that fill the space."""
        return [sampled(self.space, self.fixed, u) for u in sobol_units(self.space, count, 1)]

    def _predicted(self, points: Sequence[Mapping[str, Value]]) -> np.ndarray:
        rows = np.stack([encoded(self.space, point) for point in points])
        return np.asarray(self.model.predict(rows))


@dataclass(frozen=True)
class Check:
    """How far a world is from what was recorded, on points that its model had not seen.

    Attributes:
        error: Root mean square of the final score's error, in [0, 1].
        rank: Rank correlation of predicted and recorded final scores.
        noise: Standard deviation of the final score over seeds; NaN if it is not known.
        early: For every epoch but the last, the rank correlation of its score with the end as
            recorded, and as trainings of the same points in this world have it.
    """

    error: float
    rank: float
    noise: float
    early: tuple[tuple[float, float], ...]


def learn(
    head: Head, trainings: Sequence[Training], images: int, method: str = "full"
) -> tuple[World, Check]:
    """A world from the recorded trainings of one kind with so many images, and how good it is.

    Raises:
        ValueError: In one sentence, if there are too few.
    """
    own = [t for t in trainings if (t.images, t.method) == (images, method)]
    if len({t.index for t in own}) < 2 * _FOLDS:
        raise ValueError(
            f"a replay needs {2 * _FOLDS} recorded points, but there are "
            f"{len({t.index for t in own})} with {images} images and method '{method}': record "
            f"more with python -m benchmarks.curves"
        )
    epochs = max(len(t.scores) for t in own)
    rows = np.stack([encoded(head.space, t.params) for t in own])
    odds = _log_odds(_curves(own, epochs))
    kernel = _fitted_kernel(rows, odds)
    noise = _noise(own, odds)
    fixed = {**head.fixed, "method": method}
    first, model = head.space.names_of(fixed)[0], _model(kernel).fit(rows, odds)
    world = World(head.space, fixed, first, epochs, model, noise[:, :-1])
    points = np.array([t.index for t in own])
    held_out = np.empty_like(odds)
    for fold in range(_FOLDS):
        out = points % _FOLDS == fold
        held_out[out] = _model(kernel).fit(rows[~out], odds[~out]).predict(rows[out])
    return world, _check(world, own, _share(odds), _share(held_out))


def sampled(
    space: Space, fixed: Mapping[str, object], units: Mapping[str, float]
) -> dict[str, Value]:
    """The point, by parameter name, that numbers in [0, 1) stand for."""
    chosen: dict[str, Value] = {}
    space.sample(UnitSuggester(units, chosen), fixed)
    return chosen


def _curves(trainings: Sequence[Training], epochs: int) -> np.ndarray:
    """`(trainings, epochs + 1)`: scores after every epoch, and the truth."""
    chance = min((t.scores[0] for t in trainings if t.scores), default=0.0)
    curves = np.stack([t.curve(epochs, chance) for t in trainings])
    # Where test images were not looked at, the last score has to do.
    truth = [c[-1] if t.test is None else t.test for t, c in zip(trainings, curves, strict=True)]
    return np.column_stack([curves, truth])


def _fitted_kernel(rows: np.ndarray, odds: np.ndarray) -> object:
    few = np.random.default_rng(0).permutation(len(rows))[:_FITTED]
    lengths = np.ones(rows.shape[1])
    kernel = ConstantKernel() * Matern(lengths, (0.1, 100.0), nu=2.5) + WhiteKernel(0.05)
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0)
    with warnings.catch_warnings():
        # A parameter that does nothing has a length at its bound.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows[few], odds[few]).kernel_


def _model(kernel: object) -> GaussianProcessRegressor:
    return GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True)


def _noise(trainings: Sequence[Training], odds: np.ndarray) -> np.ndarray:
    """`(pairs, epochs + 1)` of the better half of the points that were trained twice."""
    places: dict[int, list[int]] = {}
    for place, training in enumerate(trainings):
        if training.state == "complete":
            places.setdefault(training.index, []).append(place)
    pairs = [(own[0], other) for own in places.values() for other in own[1:]]
    pairs.sort(key=lambda pair: -odds[list(pair), -1].mean())
    kept = np.array(pairs[: (len(pairs) + 1) // 2], dtype=int).reshape(-1, 2)
    return np.asarray((odds[kept[:, 0]] - odds[kept[:, 1]]) / np.sqrt(2))


def _check(
    world: World, trainings: Sequence[Training], scores: np.ndarray, held_out: np.ndarray
) -> Check:
    random, last = np.random.default_rng(0), world.epochs - 1
    again = np.stack([world.train(t.params, random) for t in trainings])
    middle = scores[:, last] * (1 - scores[:, last])  # The slope from log-odds to shares.
    noise = np.sqrt((world.noise[:, -1] ** 2).mean()) if len(world.noise) else np.nan
    return Check(
        error=float(np.sqrt(((scores[:, last] - held_out[:, last]) ** 2).mean())),
        rank=float(spearmanr(scores[:, last], held_out[:, last]).statistic),
        noise=float(noise * np.median(middle)),
        early=tuple((_rank(scores[:, :-1], e), _rank(again, e)) for e in range(last)),
    )


def _rank(scores: np.ndarray, epoch: int) -> float:
    """How well the scores after an epoch, from 0, rank those after the last."""
    return float(spearmanr(scores[:, epoch], scores[:, -1]).statistic)


def _log_odds(shares: np.ndarray) -> np.ndarray:
    kept = np.clip(shares, _ODDS, 1 - _ODDS)
    return np.asarray(np.log(kept / (1 - kept)))


def _share(odds: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-odds)))
