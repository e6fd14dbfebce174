import numpy as np
import pytest

from records.statistics import calibration_error
from search.finalize.calibrate import HeldOut, at_temperature, calibrated, temperature_for


def softmax(logits: np.ndarray) -> np.ndarray:
    scaled = np.exp(logits - logits.max(-1, keepdims=True))
    return scaled / scaled.sum(-1, keepdims=True)


def honest(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels that are drawn as these logits say."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (count, 5))
    labels = [rng.choice(5, p=p) for p in softmax(logits)]
    return logits, np.array(labels)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_of_known_logits_is_found(temperature) -> None:
    logits, labels = honest(20_000, seed=0)
    said = softmax(logits * temperature)[None]
    assert temperature_for(labels, said) == pytest.approx(temperature, rel=0.05)


def test_calibration_carries_over_to_other_images() -> None:
    logits, labels = honest(4_000, seed=1)
    temperature, held_out = calibrated(HeldOut(labels, softmax(logits * 0.3)[None]))
    assert calibration_error(labels, held_out.probabilities[0]) < 0.03
    others, theirs = honest(4_000, seed=2)
    modest = softmax(others * 0.3)
    assert calibration_error(theirs, modest) > 0.2
    assert calibration_error(theirs, at_temperature(modest, temperature)) < 0.03


def test_predictions_that_are_all_right_do_not_make_it_boundlessly_sure() -> None:
    said = np.full((1, 6, 3), 0.1)
    said[0, :, 0] = 0.8
    cooled = at_temperature(said, temperature_for(np.zeros(6, int), said))
    assert 0.8 < cooled[0, 0, 0] < 0.99


def test_the_most_probable_class_stays_and_the_change_can_be_undone() -> None:
    said = softmax(honest(50, seed=3)[0]).astype(np.float32)
    cooled = at_temperature(said, 0.5)
    assert cooled.dtype == np.float32
    np.testing.assert_array_equal(cooled.argmax(1), said.argmax(1))
    np.testing.assert_allclose(at_temperature(cooled, 2.0), said, atol=1e-6)


def test_nothing_known_changes_nothing() -> None:
    assert calibrated(None) == (1.0, None)
