"""What more trials bring, held against searches that are simulated to their end."""

import numpy as np
import pytest

from records.outcome import State
from records.trial import TrialRecord
from studies.broker import Given, Policy
from studies.broker.plateau import AHEAD, Plateau, gain, results_of


def quadratic(random, count: int) -> np.ndarray:
    """What a random search meets near an optimum, with the noise of seeds."""
    distance = ((random.random((count, 3)) - 0.4) ** 2).sum(1)
    return 0.93 - 0.3 * distance + random.normal(0, 0.004, count)


def failing(random, count: int) -> np.ndarray:
    """The same, and every third one learns nothing."""
    return np.where(random.random(count) < 0.33, 0.1, quadratic(random, count))


def uniform(random, count: int) -> np.ndarray:
    return 0.5 + 0.4 * random.random(count)


def normal(random, count: int) -> np.ndarray:
    return np.minimum(random.normal(0.8, 0.03, count), 1.0)


def beta(random, count: int) -> np.ndarray:
    return random.beta(8, 2, count)


def simulated(draw, n: int, repeats: int):
    """What was foretold after n trials, and what the next ones brought."""
    random = np.random.default_rng(n)
    for _ in range(repeats):
        values = draw(random, n + AHEAD)
        told = gain(list(values[:n]))
        yield told, max(0.0, values[n:].max() - values[:n].max())


@pytest.mark.parametrize("draw", [quadratic, failing, uniform, normal, beta])
def test_the_gain_of_a_random_search_is_foretold(draw) -> None:
    for n in (10, 30, 80):
        pairs = list(simulated(draw, n, 60))
        inside = np.mean([told.low <= real <= told.high for told, real in pairs])
        assert inside >= 0.9, n
        expected = np.mean([told.expected for told, _ in pairs])
        came = np.mean([real for _, real in pairs])
        assert came / 4 < expected < 4 * came, n


def test_more_trials_before_leave_less_and_more_to_come_bring_more() -> None:
    values = list(quadratic(np.random.default_rng(0), 80))
    assert gain(values[:20]).expected > gain(values).expected > 0
    brought = [gain(values, more).expected for more in (1, 10, 100)]
    assert brought == sorted(brought)
    assert brought[0] < brought[2] / 3


def test_pruned_trials_count_as_trials_that_were_not_the_best() -> None:
    values = list(quadratic(np.random.default_rng(1), 30))
    assert gain([*values, *[None] * 90]).expected < gain(values).expected / 1.5


def test_nothing_is_foretold_from_few_trials_and_no_gain_from_equal_or_perfect_ones() -> None:
    values = list(uniform(np.random.default_rng(0), 12))
    assert gain(values[:9]) is None
    assert gain([*values[:5], *[None] * 50]) is None
    for alike in ([0.5] * 20, [*values, 1.0]):
        told = gain(alike)
        assert (told.expected, told.low, told.high) == (0, 0, 0)
    said = "20 more trials are expected to bring +0.00 points (0.00 to 0.00)"
    assert gain([0.5] * 20).in_words() == said


class Always(Policy):
    def may_start(self, trials) -> bool:
        return True

    def settle(self, index, trials) -> Given:
        return Given()


def record(number: int, accuracy: float, method: str = "full") -> TrialRecord:
    return TrialRecord(
        number=number, index=number, state=State.COMPLETE, accuracy=accuracy, params={},
        config={"method": method}, curve={}, history={}, reason=None, started=None, ended=None,
    )  # fmt: skip


def test_a_search_stops_where_more_would_bring_too_little() -> None:
    values = quadratic(np.random.default_rng(0), 40)
    trials = [record(n, value) for n, value in enumerate(values)]

    def may_start(least: float, count: int, method: str = "full", after: int = 0) -> bool:
        return Plateau(Always(), least, method, after).may_start(trials[:count])

    assert may_start(0.0, 40)
    assert may_start(0.9, AHEAD - 1)
    assert not may_start(0.9, AHEAD)
    assert may_start(0.9, 39, after=40)
    # What a search ends with has not begun.
    assert may_start(0.9, 40, method="fine_tune")
    expected = gain(list(values)).expected
    assert not may_start(1.01 * expected, 40)
    assert may_start(0.99 * expected, 40)


def test_only_trials_of_the_last_method_tell_what_more_would_bring() -> None:
    trials = [record(n, 0.1 * n, "probe") for n in range(5)] + [record(5, 0.9, "fine_tune")]
    assert results_of(trials) == [0.9]
