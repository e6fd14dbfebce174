import numpy as np
import pytest

from records.statistics import directions, neighbour_distances
from search.finalize.familiarity import Gap, _among, _quantile


def test_the_quantile_holds_on_new_pictures_also_where_there_are_few() -> None:
    """Over many draws, 5 % of new distances are above it, or fewer."""
    random = np.random.default_rng(0)
    for count in (19, 40, 500):
        above = [random.normal() > _quantile(random.normal(size=count)) for _ in range(4000)]
        assert np.mean(above) <= 0.05 + 0.011


@pytest.mark.parametrize("count", [20, 50, 100, 1000])
def test_the_limit_of_another_network_flags_five_percent_of_its_own(count) -> None:
    """New pictures are further away by a factor; the exported model's distances are twice as far.

    Over many draws of held-out pictures, the share of new ones beyond the limit is near 5 %.
    """
    random = np.random.default_rng(0)

    def distances(centre: float, size: int) -> np.ndarray:
        return np.exp(random.normal(np.log(centre), 0.4, size))

    new, shares = distances(0.2 * 1.3, 20_000), []
    for _ in range(200):
        gap = Gap(learned=distances(0.1, 500), held_out=distances(0.1 * 1.3, count))
        shares.append((new > gap.limit(distances(0.2, 500))).mean())
    assert 0.04 < np.mean(shares) < 0.075
    assert np.quantile(shares, 0.9) < 0.15


def test_a_training_picture_is_not_its_own_neighbour() -> None:
    known = directions(np.random.default_rng(0).normal(size=(30, 8)))
    expected = [
        neighbour_distances(np.delete(known, i, 0), known[i : i + 1], 1)[0] for i in range(30)
    ]
    np.testing.assert_allclose(_among(known), expected, atol=1e-6)


def test_pictures_that_are_all_alike_have_a_limit() -> None:
    alike = np.zeros(30, np.float32)
    assert 0 < Gap(alike, alike).limit(alike) < 1e-3
