"""What is said of a winner is true on average: simulated searches whose truth is known."""

import pytest

from benchmarks.selection_gap import simulate


@pytest.fixture(scope="module")
def points():
    """Mean errors in points over 1,000 searches; their standard errors are below 0.015."""
    found = simulate(1000)
    return {name: 100 * errors.mean() for name, errors in found._asdict().items()}


def test_the_winners_accuracy_is_within_a_tenth_of_a_point(points) -> None:
    assert abs(points["after"]) < 0.03
    assert points["before"] > 0.1


def test_the_selection_gap_is_the_luck_of_the_best_result(points) -> None:
    assert abs(points["gap_after"]) < 0.03
    assert points["gap_before"] < -0.2
