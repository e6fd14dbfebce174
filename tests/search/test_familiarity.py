import numpy as np
import pytest

from records.statistics import directions, neighbour_distances
from search.finalize.familiarity import Gap, _among, _quantile


def test_the_limit_holds_on_new_pictures_also_where_there_are_few() -> None:
    """Over many draws, 5 % of new distances are above the quantile, or fewer."""
    random = np.random.default_rng(0)
    for count in (19, 40, 500):
        above = [random.normal() > _quantile(random.normal(size=count)) for _ in range(4000)]
        assert np.mean(above) <= 0.05 + 0.011


def test_how_much_further_new_pictures_are_is_a_ratio() -> None:
    learned = np.linspace(0.01, 0.1, 100)
    assert Gap(learned, 3 * learned).ratio == pytest.approx(3)


def test_a_training_picture_is_not_its_own_neighbour() -> None:
    known = directions(np.random.default_rng(0).normal(size=(30, 8)))
    expected = [
        neighbour_distances(np.delete(known, i, 0), known[i : i + 1], 5)[0] for i in range(30)
    ]
    np.testing.assert_allclose(_among(known), expected, atol=1e-6)
