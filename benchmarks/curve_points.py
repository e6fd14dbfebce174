"""Points of a space as numbers in [0, 1], and back: for even designs and for models of a space."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import qmc

from space import Choice, Float, Int, Space, Value


@dataclass(frozen=True)
class UnitSuggester:
    """Picks the values that numbers in [0, 1) stand for; a `space.parameters.Suggester`.

    Attributes:
        units: Parameter name -> its number.
        chosen: Parameter name -> the value that was picked; filled while a space is sampled.
    """

    units: Mapping[str, float]
    chosen: dict[str, Value]

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """The number that is so far along the range."""
        assert step is None
        value = _between(self.units[name], low, high, log)
        self.chosen[name] = value
        return value

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """The whole number that is so far along the range; all have an equal part of it."""
        if log:
            value = round(_between(self.units[name], low - 0.5, high + 0.5, log))
        else:
            value = low + step * int(self.units[name] * ((high - low) // step + 1))
        self.chosen[name] = min(max(value, low), high)
        return min(max(value, low), high)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The choice that is so far along the list."""
        self.chosen[name] = choices[int(self.units[name] * len(choices))]
        return self.chosen[name]


def sobol_units(space: Space, count: int, seed: int = 0) -> list[dict[str, float]]:
    """Numbers for `count` points that fill a space evenly (a scrambled Sobol sequence).

    Parameter name -> number in [0, 1), also for parameters that a point turns out not to have. The
    first ones are the same whatever the count.
    """
    power = max(1, math.ceil(math.log2(max(2, count))))
    sequence = qmc.Sobol(len(space.parameters), scramble=True, rng=seed).random_base2(power)
    return [dict(zip(space.parameters, map(float, row), strict=True)) for row in sequence[:count]]


def encoded(space: Space, params: Mapping[str, Value]) -> np.ndarray:
    """A point as a row of numbers in [0, 1], `(columns,)` float64, for a model.

    A range is one column, a choice has one for each of its values. What a point does not have is
    in the middle of its range, and none of its choices.
    """
    columns: list[float] = []
    for name, parameter in space.parameters.items():
        value = params.get(name)
        if isinstance(parameter, Choice):
            columns += [float(value == choice) for choice in parameter.choices]
        else:
            columns.append(0.5 if value is None else along(float(value), parameter))
    return np.array(columns)


def _between(unit: float, low: float, high: float, log: bool) -> float:
    if log:
        return float(low * (high / low) ** unit)
    return low + unit * (high - low)


def along(value: float, parameter: Float | Int) -> float:
    """How far a value is along its range, in [0, 1]."""
    low, high = float(parameter.low), float(parameter.high)
    if parameter.log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low) if high > low else 0.5
