"""Planted label errors are found, and the number that is expected to be real holds."""

import numpy as np
import pytest

from search.finalize.label_errors import confident_errors, label_errors, suspects, wrong_labels


def predicted(n: int, classes: int, strength: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """True labels `(n,)`, and what a calibrated model says of pictures with them."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % classes
    evidence = random.normal(size=(n, classes))
    evidence[np.arange(n), true] += strength
    logits = strength * evidence
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return true, powers / powers.sum(1, keepdims=True)


def planted(true: np.ndarray, classes: int, share: float, seed: int) -> np.ndarray:
    """The labels with a share of them replaced by another class."""
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(true))[: round(share * len(true))]
    labels = true.copy()
    labels[chosen] = (true[chosen] + random.integers(1, classes, len(chosen))) % classes
    return labels


@pytest.mark.parametrize("strength", [1.5, 4.0])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.1])
def test_as_many_are_real_as_expected(strength, share) -> None:
    """For a model that is right half the time, and one that is almost always right."""
    listed = real = expected = 0.0
    for seed in range(2):
        true, said = predicted(1000, 10, strength, seed)
        labels = planted(true, 10, share, seed)
        found = suspects(labels, said)
        assert found.noise == pytest.approx(share, abs=0.03)
        listed += len(found.rows)
        real += (labels != true)[found.rows].sum()
        expected += found.wrong[found.rows].sum()
    assert expected == pytest.approx(real, abs=max(4.0, 0.15 * listed))
    if share == 0:
        assert listed <= 5
    elif strength == 4.0:
        assert real >= max(0.8 * 2 * share * 1000, 0.9 * listed)


def test_confident_learning_by_hand() -> None:
    """Class 0 is confidently present from 0.65 on, class 1 from 0.6 on."""
    labels = np.array([0, 0, 0, 0, 1, 1])
    own = np.array([0.9, 0.8, 0.7, 0.2, 0.7, 0.5])
    first = np.where(labels == 0, own, 1 - own)
    said = np.stack([first, 1 - first], 1)
    assert confident_errors(labels, said).tolist() == [False, False, False, True, False, False]


def test_a_class_without_held_out_pictures_is_suspected_nowhere() -> None:
    labels = np.array([0, 0, 1, 1])
    said = np.array([[0.5, 0.1, 0.4], [0.6, 0.2, 0.2], [0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    assert not confident_errors(labels, said).any()
    noise, wrong = wrong_labels(labels, said)
    assert 0 <= noise <= 0.5
    assert ((wrong >= 0) & (wrong <= 1)).all()


def test_a_class_that_is_never_recognised_is_the_models_fault() -> None:
    true, said = predicted(600, 6, 4.0, 0)
    said[:, 3:] = 1e-9
    said /= said.sum(1, keepdims=True)
    found = suspects(true, said)
    assert not (true[found.rows] >= 3).any()
    assert found.noise < 0.02
    assert len(suspects(np.full(600, 5), said).rows) == 0


def test_they_are_listed_with_path_and_probabilities() -> None:
    true, said = predicted(400, 4, 4.0, 0)
    labels = true.copy()
    labels[[8, 101]] = [1, 3]
    record, rows = label_errors(labels, said, "abcd", [f"{n}.png" for n in range(400)])
    assert {8, 101} <= set(rows.tolist())
    assert (record.n, record.found) == (400, len(record.listed))
    (eighth,) = (s for s in record.listed if s.path == "8.png")
    assert (eighth.label, eighth.predicted) == ("b", "a")
    assert eighth.label_probability < 0.05 < 0.9 < eighth.predicted_probability
    assert [s.wrong for s in record.listed] == sorted(s.wrong for s in record.listed)[::-1]
    assert record.expected == pytest.approx(sum(s.wrong for s in record.listed))
    assert record.in_words().startswith(f"{record.found} of 400 held-out images, about ")
