import numpy as np
import pytest

from records.statistics import Spread, accuracy_interval, calibration_error


def test_wilson_interval() -> None:
    # Wilson, 1927: 8 of 10 lies between 0.4902 and 0.9433.
    assert accuracy_interval(8, 10) == pytest.approx([0.4902, 0.9433], abs=1e-4)
    assert accuracy_interval(10, 10)[1] == pytest.approx(1.0)


def test_perfect_and_hopeless_calibration() -> None:
    sure = np.tile([1.0, 0.0], (10, 1))
    assert calibration_error(np.zeros(10, int), sure) == 0.0
    assert calibration_error(np.ones(10, int), sure) == 1.0


def test_calibration_by_bins() -> None:
    # Five images at 0.9 of which three are right, five at 0.6 of which all are right.
    confidence = np.array([0.9] * 5 + [0.6] * 5)
    probabilities = np.stack([confidence, 1 - confidence], 1)
    labels = np.array([0, 0, 0, 1, 1, 0, 0, 0, 0, 0])
    assert calibration_error(labels, probabilities) == pytest.approx(0.5 * 0.3 + 0.5 * 0.4)


def test_one_value_has_no_spread() -> None:
    assert Spread.of([0.5]) == Spread(mean=0.5, std=None, n=1)
    assert Spread.of([0.4, 0.6]).std == pytest.approx(0.1414213562)
