import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train_core.data.config import DataConfig
from train_core.data.split import choose_rows, stratified_split, stratified_subset

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
