"""A claim about the precision of trusted answers is false in a tenth of all draws at most."""

import numpy as np
import pytest
from scipy.stats import binom

from benchmarks.thresholds import WORLDS, after, before, rates
from records.statistics import binomial_tail
from serve.thresholds import HeldOut, enough, overall, per_class, read_held_out


@pytest.mark.parametrize(
    ("classes", "pictures"), [(2, 20), (2, 100), (2, 1000), (10, 1000), (100, 5000)]
)
def test_claims_are_false_in_a_tenth_of_the_draws_at_most(classes, pictures) -> None:
    for world in ("flat", "calibrated"):
        assert rates(after, WORLDS[world], classes, pictures, draws=300).false <= 0.1


def test_the_lowest_threshold_that_passes_alone_would_claim_too_much() -> None:
    flat = WORLDS["flat"]
    assert rates(before, flat, 2, 1000, draws=300).false > 0.2
    assert rates(after, flat, 2, 1000, draws=300).false < 0.06


def test_claims_that_are_true_are_still_made() -> None:
    assert rates(after, WORLDS["good"], 2, 1000, draws=100).made > 0.6
    assert rates(after, WORLDS["good"], 2, 5000, draws=50).made > 0.98


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize("count", [1, 20, 45, 1000, 20_000])
def test_the_binomial_tail_is_scipys(share, count) -> None:
    for hits in {0, 1, count // 2, int(count * share), count - 1, count}:
        expected = binom.sf(hits - 1, count, share)
        assert binomial_tail(hits, count, share) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("precision", "count"), [(0.5, 4), (0.9, 22), (0.95, 45), (0.99, 230)])
def test_so_many_right_answers_are_enough_and_one_less_is_not(precision, count) -> None:
    assert enough(precision) == count
    assert binom.sf(count - 1, count, precision) <= 0.1 < binom.sf(count - 2, count - 1, precision)
    for pictures, known in ((count, True), (count - 1, False)):
        found = overall(all_right(pictures), precision)
        assert (found.probability is not None) == known
    words = f"{count - 1} held-out pictures are too few, {count} with right answers only"
    assert words in found.doubt


def all_right(pictures: int, trainings: int = 1) -> HeldOut:
    confidence = np.linspace(0.5, 1, pictures * trainings).reshape(trainings, pictures)
    zeros = np.zeros((trainings, pictures), int)
    return HeldOut(zeros[0], zeros, confidence)


def test_several_answers_about_one_picture_count_as_one() -> None:
    held = all_right(44, trainings=9)
    assert overall(held, 0.95).probability is None
    assert overall(held, 0.95).pictures == 44


def test_what_comes_after_the_first_failure_counts_for_nothing() -> None:
    """Right answers below a stretch of wrong ones would show 90 % again, if they were asked."""
    confidence, named = np.linspace(1, 0.5, 3000)[None], np.zeros((1, 3000), int)
    wrong = (np.arange(3000) >= 400) & (np.arange(3000) < 600)
    found = overall(HeldOut(wrong.astype(int), named, confidence), 0.9)
    assert found.probability > confidence[0, 500]
    assert overall(HeldOut(np.zeros(3000, int), named, confidence), 0.9).share == 1.0


def test_equal_confidences_are_trusted_together() -> None:
    held = HeldOut(np.arange(200) % 2, np.zeros((1, 200), int), np.full((1, 200), 0.7))
    assert overall(held, 0.9).probability is None
    assert overall(held, 0.3).probability == 0.7
    assert overall(held, 0.3).share == 1.0


def test_a_class_that_is_never_named_is_never_trusted() -> None:
    found = per_class(all_right(100), ("a", "b"), 0.95)
    assert found["a"].probability is not None
    assert found["b"].doubt.startswith("0 held-out pictures are too few, 45 ")


@pytest.mark.parametrize(
    ("labels", "probabilities"),
    [
        (np.zeros(3, int), np.full((2, 3, 4), 0.25)),
        (np.zeros(3, int), np.full((2, 9, 2), 0.5)),
        (np.zeros(3, int), np.full((3, 2), 0.5)),
        (np.zeros(3, int), np.full((0, 3, 2), 0.5)),
        (np.zeros(3, int), np.full((2, 3, 2), np.nan)),
        (np.zeros(3, int), np.full((2, 3, 2), 1.5)),
        (np.array(0), np.full((2, 3, 2), 0.5)),
        (np.zeros(3, int), np.array([None])),
    ],
)
def test_answers_that_no_search_exported_are_refused(tmp_path, labels, probabilities) -> None:
    np.savez(tmp_path / "validation.npz", labels=labels, probabilities=probabilities)
    with pytest.raises(ValueError, match=r"validation.npz' must be what a search exported"):
        read_held_out(tmp_path, 2)


def test_damaged_answers_are_refused_and_none_are_no_mistake(tmp_path) -> None:
    assert read_held_out(tmp_path, 2) is None
    for content in (b"", b"no archive"):
        (tmp_path / "validation.npz").write_bytes(content)
        with pytest.raises(ValueError, match="no archive, or not whole"):
            read_held_out(tmp_path, 2)
