"""Which images a training learns from and is scored on: stratified choices by a seed."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train_core.data.config import DataConfig

USUAL_FOLDS = 5
FEW = 1_000
"""Training images below which a search with pretrained weights is scored on folds, unless told."""


@dataclass(frozen=True)
class Rows:
    """Rows of the training part of a data set, both ascending."""

    train: np.ndarray
    validation: np.ndarray

    def digest(self) -> str:
        """A text that is the same exactly when the rows are."""
        both = np.concatenate([self.train, [-1], self.validation]).astype(np.int64)
        return hashlib.sha256(both.tobytes()).hexdigest()[:20]


def digest_of(folds: Sequence[Rows]) -> str:
    """The digest of a split, or one that is the same exactly when all folds are."""
    digests = [rows.digest() for rows in folds]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256(" ".join(digests).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Ties:
    """What a split of the training part has to keep to.

    Attributes:
        groups: Number of every row's group, `(N,)`; None = every row stands alone.
        validation: The rows of a validation part that is given; None = none is.
    """

    groups: np.ndarray | None = None
    validation: np.ndarray | None = None


def choose_rows(labels: np.ndarray, config: DataConfig, ties: Ties | None = None) -> Rows:
    """Split off the validation part, then take `train_size` of the rest.

    The validation part depends on the labels, `(N,)`, the groups, the fraction and the seed only,
    so searches with different training sizes are scored on the same images; one that is given is
    taken as it is. `train_on_validation` then joins the two, so that a final training sees what
    its search has seen and nothing else. Of several folds it is the first one.
    """
    seed, ties = config.split_seed or 0, ties or Ties()
    if (config.folds or 1) > 1:
        apart = config.model_copy(update={"train_on_validation": False})
        first, *_ = choose_folds(labels, apart, ties)
        whole = Rows(np.union1d(first.train, first.validation), first.validation[:0])
        return whole if config.train_on_validation else first
    if ties.validation is not None:
        validation = ties.validation
        train = np.setdiff1d(np.arange(len(labels)), validation)
    else:
        fraction = config.validation_fraction
        train, validation = stratified_split(labels, fraction, seed, ties.groups)
    if config.train_size is not None:
        train = train[stratified_subset(labels[train], config.train_size, seed)]
    if config.train_on_validation:
        return Rows(np.union1d(train, validation), validation[:0])
    return Rows(train, validation)


def choose_folds(
    labels: np.ndarray, config: DataConfig, ties: Ties | None = None
) -> tuple[Rows, ...]:
    """What trials are trained and scored on in turn: one split, or as many folds as are asked for.

    Arguments are those of `choose_rows`. All folds are of the same images, which `train_size` and
    `split_seed` alone choose; no image is held out twice.

    Raises:
        ValueError: The images, or a validation part that is given, cannot be parted so.
    """
    ties, count, seed = ties or Ties(), config.folds or 1, config.split_seed or 0
    if count == 1 or config.train_on_validation:
        return (choose_rows(labels, config, ties),)
    if ties.validation is not None:
        raise ValueError(
            f"folds must be 1 or left out where the data has a validation part, but got {count}"
        )
    chosen = np.arange(len(labels))
    if config.train_size is not None:
        chosen = stratified_subset(labels, config.train_size, seed)
    groups = None if ties.groups is None else ties.groups[chosen]
    own = seed if config.fold_seed is None else config.fold_seed
    fold = stratified_folds(labels[chosen], count, own, groups)
    return tuple(Rows(chosen[fold != k], chosen[fold == k]) for k in range(count))


def usual_folds(labels: np.ndarray, config: DataConfig, ties: Ties) -> int:
    """How many folds a search on pictures of a folder or table has, unless told otherwise.

    One, which is the usual split, where there are enough images or a validation part is given, or
    where they cannot be parted so often.
    """
    if ties.validation is not None or min(len(labels), config.train_size or FEW) >= FEW:
        return 1
    try:
        choose_folds(labels, config.model_copy(update={"folds": USUAL_FOLDS}), ties)
    except ValueError:
        return 1
    return USUAL_FOLDS


def stratified_folds(
    labels: np.ndarray, count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """The fold of every row, `(N,)` int in [0, count); -1 = never held out.

    The same seed and labels, `(N,)`, give the same folds. Every class is spread evenly over them.
    Rows of one of the `groups`, `(N,)`, are not parted: the largest come first, each to the fold
    where the classes' shares stay nearest to each other (like scikit-learn's
    StratifiedGroupKFold). What would take all of a class from the other folds is never held out.

    Raises:
        ValueError: There would be a fold without images.
    """
    random = np.random.default_rng(seed)
    if groups is None:
        order = random.permutation(np.flatnonzero(np.bincount(labels)[labels] > 1))
        order = order[np.argsort(labels[order], kind="stable")]
        folds = np.full(len(labels), -1)
        folds[order] = np.arange(len(order)) % count
    else:
        folds = _folds_of_groups(labels, count, random, groups)
    if missing := count - len(np.unique(folds[folds >= 0])):
        raise ValueError(
            f"every one of the folds must hold some images, but of {count} folds of {len(labels)} "
            f"images {missing} would be empty: lower folds, or make groups smaller"
        )
    return folds


def _folds_of_groups(
    labels: np.ndarray, count: int, random: np.random.Generator, groups: np.ndarray
) -> np.ndarray:
    members = np.unique(groups, return_inverse=True)[1]
    sizes = np.zeros((members.max() + 1, labels.max() + 1))
    np.add.at(sizes, (members, labels), 1)
    total = np.maximum(sizes.sum(0), 1)
    held, fold_of = np.zeros((count, sizes.shape[1])), np.full(len(sizes), -1)
    order = random.permutation(len(sizes))
    for group in order[np.argsort(-sizes[order].sum(1), kind="stable")]:
        own = sizes[group]
        after = held + own
        allowed = ~((after == total) & (own > 0)).any(1)
        if allowed.any():
            uneven = ((after**2 - held**2) / total**2).sum(1)
            # Of folds that are as good, the one with the fewest images.
            order_of_folds = np.lexsort((held.sum(1), uneven, ~allowed))
            fold_of[group] = order_of_folds[0]
            held[fold_of[group]] += own
    return np.asarray(fold_of[members], dtype=np.int64)


def stratified_split(
    labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that stay and a share of every class that is set aside, both ascending.

    The same seed and labels, `(N,)`, give the same split. Every class gives and keeps at least one
    image, unless the fraction, in [0, 1), is 0: then none is set aside. Rows of one of the
    `groups`, `(N,)`, are not parted; then a class that is all in one group may give none, and the
    shares are as near as a greedy choice comes.

    Raises:
        ValueError: A class has fewer than two images, or no group can be set aside.
    """
    if fraction == 0:
        return np.arange(len(labels)), np.arange(0)
    if groups is not None:
        return _split_groups(labels, fraction, seed, groups)
    random = np.random.default_rng(seed)
    aside = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        if len(rows) < 2:
            raise ValueError(
                f"every class needs at least 2 images to set one aside, but class {label} has "
                f"{len(rows)}: add images or remove the class"
            )
        count = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        aside.append(random.permutation(rows)[:count])
    chosen = np.sort(np.concatenate(aside))
    return np.setdiff1d(np.arange(len(labels)), chosen), chosen


def _split_groups(
    labels: np.ndarray, fraction: float, seed: int, groups: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Take groups in random order, each one that brings the classes nearer to their shares.

    Nearer is by the squared differences in shares of the classes, as in scikit-learn's
    StratifiedGroupKFold. No class is set aside as a whole.
    """
    members = np.unique(groups, return_inverse=True)[1]
    counts = [Counter[int]() for _ in range(members.max() + 1)]
    for group, label in zip(members.tolist(), labels.tolist(), strict=True):
        counts[group][label] += 1
    aside = _Aside(np.bincount(labels).tolist(), fraction)
    order = np.random.default_rng(seed).permutation(len(counts)).tolist()
    chosen = {group for group in order if aside.gains(counts[group]) and aside.take(counts[group])}
    # Whoever came away empty-handed gets the smallest group that can be had.
    for group in sorted(set(order) - chosen, key=lambda group: counts[group].total()):
        if aside.lacks(counts[group]) and aside.take(counts[group]):
            chosen.add(group)
    if not chosen:
        raise ValueError(
            f"groups must leave some images to set aside and some of every class to train on, but "
            f"the {len(counts)} groups of {len(labels)} images cannot be parted: make them smaller"
        )
    rows = np.isin(members, list(chosen))
    return np.flatnonzero(~rows), np.flatnonzero(rows)


class _Aside:
    """How many images of each class are set aside already, and how many should be."""

    def __init__(self, total: list[int], fraction: float) -> None:
        self._total, self._taken = total, [0] * len(total)
        self._goal = [min(max(1, round(fraction * n)), n - 1) for n in total]

    def gains(self, counts: Counter[int]) -> bool:
        """Whether the classes would be nearer to their goals with these images."""
        off = ((c, n, self._taken[c] - self._goal[c]) for c, n in counts.items())
        return sum((d**2 - (d + n) ** 2) / self._total[c] ** 2 for c, n, d in off) > 0

    def lacks(self, counts: Counter[int]) -> bool:
        """Whether there is none yet of one of these classes."""
        return any(not self._taken[label] for label in counts)

    def take(self, counts: Counter[int]) -> bool:
        """Set them aside, if every class keeps something."""
        if any(self._taken[c] + n >= self._total[c] for c, n in counts.items()):
            return False
        for label, n in counts.items():
            self._taken[label] += n
        return True


def stratified_subset(labels: np.ndarray, size: int, seed: int) -> np.ndarray:
    """Choose `(size,)` rows, ascending, so that classes keep their shares as far as can be.

    The same seed and labels, `(N,)`, give the same choice.

    Raises:
        ValueError: The size is not between the number of classes and N.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if not len(classes) <= size <= len(labels):
        raise ValueError(
            f"train_size must be between the number of classes ({len(classes)}) and the number of "
            f"training images ({len(labels)}), but got {size}"
        )
    random = np.random.default_rng(seed)
    # Largest remainders: floors first, then one more where the rounding took most.
    exact = counts * size / len(labels)
    take = np.maximum(np.floor(exact).astype(int), 1)
    for index in np.argsort(take - exact, kind="stable"):
        take[index] += int(take.sum() < size)
    while take.sum() > size:
        take[np.argmax(take)] -= 1
    picked = [
        random.permutation(np.flatnonzero(labels == label))[:count]
        for label, count in zip(classes, take, strict=True)
    ]
    return np.sort(np.concatenate(picked))
