import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train_core.data.config import DataConfig
from train_core.data.split import (
    Ties,
    choose_folds,
    choose_rows,
    digest_of,
    stratified_folds,
    stratified_split,
    stratified_subset,
    usual_folds,
)

LABELS = np.repeat(np.arange(4), [50, 20, 10, 2])


def test_every_class_gives_its_share() -> None:
    stay, aside = stratified_split(LABELS, 0.1, seed=0)
    assert np.bincount(LABELS[aside]).tolist() == [5, 2, 1, 1]
    assert sorted([*stay, *aside]) == list(range(len(LABELS)))


def test_a_seed_means_the_same_split() -> None:
    one, same, other = (stratified_split(LABELS, 0.3, seed)[1].tolist() for seed in (1, 1, 2))
    assert one == same != other


def test_nothing_aside() -> None:
    stay, aside = stratified_split(LABELS, 0.0, seed=0)
    assert len(stay) == len(LABELS)
    assert len(aside) == 0


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(ValueError, match="at least 2 images to set one aside, but class 1 has 1"):
        stratified_split(np.array([0, 0, 1]), 0.5, seed=0)


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=8),
    fraction=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**32),
)
def test_both_sides_keep_every_class(counts, fraction, seed) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    stay, aside = stratified_split(labels, fraction, seed)
    assert (np.bincount(labels[stay], minlength=len(counts)) > 0).all()
    assert (np.bincount(labels[aside], minlength=len(counts)) > 0).all()
    assert set(stay).isdisjoint(aside)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
)
def test_subsets_have_exactly_their_size_and_keep_the_shares(counts, share, seed) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    size = max(len(counts), round(share * len(labels)))
    rows = stratified_subset(labels, size, seed)
    assert len(set(rows)) == len(rows) == size
    taken = np.bincount(labels[rows], minlength=len(counts))
    assert (taken >= 1).all()
    exact = np.array(counts) * size / len(labels)
    # Rare classes keep one image, which the larger ones make room for.
    assert (taken <= np.maximum(np.ceil(exact), 1)).all()


@pytest.mark.parametrize("size", [3, 83])
def test_impossible_sizes_are_refused(size) -> None:
    with pytest.raises(ValueError, match=r"number of classes \(4\).*\(82\), but got"):
        stratified_subset(LABELS, size, seed=0)


def test_the_validation_part_does_not_depend_on_the_training_size() -> None:
    whole = choose_rows(LABELS, DataConfig(validation_fraction=0.2, split_seed=3))
    part = choose_rows(LABELS, DataConfig(validation_fraction=0.2, split_seed=3, train_size=30))
    assert part.validation.tolist() == whole.validation.tolist()
    assert len(part.train) == 30
    assert set(part.train) <= set(whole.train)
    assert part.digest() != whole.digest()
    other = choose_rows(LABELS, DataConfig(validation_fraction=0.2, split_seed=4))
    assert other.digest() != whole.digest()


@pytest.mark.parametrize("size", [None, 30])
def test_the_validation_part_can_be_given_back(size) -> None:
    config = DataConfig(validation_fraction=0.2, split_seed=3, train_size=size)
    apart = choose_rows(LABELS, config)
    joined = choose_rows(LABELS, config.model_copy(update={"train_on_validation": True}))
    assert joined.train.tolist() == sorted([*apart.train, *apart.validation])
    assert joined.validation.tolist() == []
    assert joined.digest() != apart.digest()


@given(
    counts=st.lists(st.integers(2, 40), min_size=1, max_size=8),
    count=st.integers(2, 10),
    seed=st.integers(0, 2**32),
)
def test_folds_spread_every_class_evenly(counts, count, seed) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    if len(labels) < count:
        return
    folds = stratified_folds(labels, count, seed)
    for rows in (np.ones(len(labels), bool), *(labels == k for k in range(len(counts)))):
        sizes = np.bincount(folds[rows], minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_a_seed_means_the_same_folds() -> None:
    one, same, other = (stratified_folds(LABELS, 3, seed).tolist() for seed in (1, 1, 2))
    assert one == same != other


@given(seed=st.integers(0, 2**32), count=st.integers(2, 5), groups=st.integers(10, 60))
def test_groups_stay_together_and_no_fold_takes_all_of_a_class(seed, count, groups) -> None:
    random = np.random.default_rng(seed)
    group, label_of = random.integers(0, groups, 200), random.integers(0, 3, groups)
    labels = np.unique(label_of[group], return_inverse=True)[1]
    folds = stratified_folds(labels, count, seed, group)
    assert all(len(set(folds[group == one])) == 1 for one in range(groups) if (group == one).any())
    for fold in range(count):
        assert set(labels[folds != fold]) == set(labels)
    held = np.bincount(folds[folds >= 0], minlength=count)
    if groups > 40:
        assert held.max() < 1.5 * held.min()


def test_the_only_group_of_a_class_is_never_held_out() -> None:
    groups = np.array([0] * 5 + [*range(1, 11)])
    labels = np.array([1] * 5 + [0] * 10)
    folds = stratified_folds(labels, 5, 0, groups)
    assert folds[:5].tolist() == [-1] * 5
    assert np.bincount(folds[5:]).tolist() == [2] * 5


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="of 5 folds of 12 images 2 would be empty: lower folds"):
        stratified_folds(np.zeros(12, int), 5, 0, np.arange(12) % 3)


def test_folds_are_of_the_images_that_the_final_training_sees() -> None:
    config = DataConfig(folds=4, train_size=40, split_seed=3)
    folds = choose_folds(LABELS, config)
    final = choose_rows(LABELS, config.model_copy(update={"train_on_validation": True}))
    assert len(final.train) == 40
    assert len(final.validation) == 0
    for rows in folds:
        assert sorted([*rows.train, *rows.validation]) == final.train.tolist()
    held = np.concatenate([rows.validation for rows in folds])
    assert len(set(held)) == len(held) == 39  # The only image left of a class is never held out.
    fresh = config.model_copy(update={"fold_seed": 9})
    again = choose_folds(LABELS, fresh)
    assert digest_of(again) != digest_of(folds)
    assert sorted(np.concatenate([rows.validation for rows in again])) == sorted(held)


def test_a_given_validation_part_and_folds_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="where the data has a validation part, but got 3"):
        choose_folds(LABELS, DataConfig(folds=3), Ties(validation=np.arange(5)))


def test_few_images_are_parted_into_folds_unless_they_cannot_be() -> None:
    few, many, plain = np.arange(999) % 2, np.arange(1000) % 2, DataConfig()
    assert usual_folds(few, plain, Ties()) == 5
    assert usual_folds(many, plain, Ties()) == 1
    assert usual_folds(many, DataConfig(train_size=500), Ties()) == 5
    assert usual_folds(few, plain, Ties(validation=np.arange(9))) == 1
    assert usual_folds(few, plain, Ties(groups=np.arange(999) % 3)) == 1
