"""Where in their ranges the best values lie: at an edge, the range may be too narrow."""

import math
from collections.abc import Sequence

from records.trial import TrialRecord, ranked
from reports.numbers.base import Numbers
from space import Choice, Parameter, Space

NEAR = 0.05
"""How near to an end of its range, as a share of it, a value counts as at the edge."""

MOST = 0.5
"""Share of the leading trials at an edge above which it is worth a look."""


class Range(Numbers):
    """One numeric parameter, its range, and where the leading trials lie in it."""

    name: str
    low: float
    high: float
    log: bool
    whole: bool
    """Whether only whole numbers occur."""

    best: float | None
    """The value of the best trial; None if it does not have this parameter."""

    positions: tuple[float, ...]
    """Of the leading trials, best first, from 0 (low) to 1 (high), on the range's own scale."""

    at_low: float
    """Share of the leading trials at the lower edge."""

    at_high: float

    @property
    def edge(self) -> str | None:
        """The edge where most leading trials are, the best one among them: "low" or "high".

        Nothing lies below a lower end of 0, and a shape parameter of a few whole numbers is at an
        edge more often than not, so the first never counts, and of the others all must be there.
        """
        if not self.positions:
            return None
        few = self.whole and self.high - self.low < 4
        needed = 1.0 if few else MOST
        if self.at_high >= needed and _near(self.positions[0], 1.0):
            return "high"
        at_low = self.at_low >= needed and _near(self.positions[0], 0.0)
        return "low" if at_low and self.low != 0 else None


def ranges(trials: Sequence[TrialRecord], space: Space | None) -> tuple[Range, ...]:
    """All numeric parameters of the space with the leading trials: a tenth, three at least."""
    if space is None:
        return ()
    order = ranked(trials)
    leading = order[: max(3, len(order) // 10)]
    numeric = [(n, p) for n, p in space.parameters.items() if not isinstance(p, Choice)]
    return tuple(_range(name, parameter, leading) for name, parameter in numeric)


def position(value: float, low: float, high: float, log: bool) -> float:
    """Where a value lies between two others, from 0 to 1, on a linear or a logarithmic scale."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _range(name: str, parameter: Parameter, leading: Sequence[TrialRecord]) -> Range:
    assert not isinstance(parameter, Choice)
    low, high, log = float(parameter.low), float(parameter.high), parameter.log
    values = [float(t.params[name]) for t in leading if name in t.params]
    positions = tuple(position(value, low, high, log) for value in values)
    n = max(1, len(positions))
    best = leading[0].params.get(name) if leading else None
    return Range(
        name=name,
        low=low,
        high=high,
        log=log,
        whole=parameter.type == "int",
        best=None if best is None else float(best),
        positions=positions,
        at_low=sum(_near(p, 0.0) for p in positions) / n,
        at_high=sum(_near(p, 1.0) for p in positions) / n,
    )


def _near(position: float, end: float) -> bool:
    return abs(position - end) <= NEAR
