"""A curve as one line of text."""

import math
from collections.abc import Sequence
from typing import TypeVar

_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_WIDEST = 60

Item = TypeVar("Item", int, float)


def sparkline(values: Sequence[float]) -> str:
    """One block per value, the lowest to the highest.

    Args:
        values: One per epoch. What is not finite is a gap; a flat curve is drawn at half height;
            of more than 60, evenly spaced ones are drawn.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    return "".join(_block(value, low, high) for value in spread(values, _WIDEST))


def spread(values: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of them, at least 2, evenly spaced, the first and the last one included."""
    if len(values) <= count:
        return list(values)
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return " "
    share = (value - low) / (high - low) if high > low else 0.5
    return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]
