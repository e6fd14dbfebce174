"""Numbers as people read them."""

import pytest

from records.words import duration, points


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "-"), (0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"), (18_420, "5 h 7 min"), (172_799, "47 h 59 min"),
        (172_800, "2 d 0 h"), (176_400, "2 d 1 h"),
    ],
)  # fmt: skip
def test_a_time_is_told_in_the_two_units_that_matter(seconds, said) -> None:
    assert duration(seconds) == said


def test_no_difference_has_no_minus() -> None:
    assert points(-1e-17) == "+0.00 points"
