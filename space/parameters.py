"""The kinds of parameters: `Float`, `Int` and `Choice`, each with its range and its condition."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

Value = bool | int | float | str  # What one parameter of a sampled point can be.


class Suggester(Protocol):
    """What a space needs of the thing that picks values; an Optuna trial happens to fit."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Pick a number in [low, high]."""

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Pick a whole number in [low, high], `low` plus a multiple of `step`."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Pick one of the choices."""


class _Base(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sets: str | None = None
    """The training key that this parameter sets; its own name unless given. Two parameters may
    set the same key when their conditions exclude each other."""

    when: dict[str, Value | list[Value]] = Field(default_factory=dict)
    """Key -> the value, or the list of values, that it must have for this parameter to exist."""

    def applies(self, values: Mapping[str, object]) -> bool:
        """Whether every condition in `when` holds for these values."""
        return all(values.get(key) in allowed for key, allowed in self.conditions().items())

    def conditions(self) -> dict[str, list[Value]]:
        """`when`, with every entry as a list of the allowed values."""
        return {k: v if isinstance(v, list) else [v] for k, v in self.when.items()}


class Float(_Base):
    """A number in [low, high], uniform, or log-uniform with `log = true`."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _range_is_usable(self) -> "Float":
        _check_range(self.low, self.high, self.log)
        return self

    def suggest(self, name: str, suggester: Suggester) -> Value:
        """Let the suggester pick a value under this name."""
        return suggester.suggest_float(name, self.low, self.high, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether the value could be picked."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high

    def nearest(self, value: object) -> Value | None:
        """The value in the range that is nearest to another one; None if that is no number."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return min(max(float(value), self.low), self.high)

    def extremes(self) -> list[Value]:
        """The values at the edges, for checks of what a training accepts."""
        return [self.low, self.high]


class Int(_Base):
    """A whole number in [low, high], every `step`-th; or log-uniform with `log = true`."""

    type: Literal["int"]
    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _range_is_usable(self) -> "Int":
        _check_range(self.low, self.high, self.log)
        if self.log and self.step != 1:
            raise ValueError(f"step must be 1 on a log scale, but got step {self.step}")
        if (self.high - self.low) % self.step:
            got = f"low {self.low}, high {self.high}, step {self.step}"
            raise ValueError(f"high must be low plus a multiple of step, but got {got}")
        return self

    def suggest(self, name: str, suggester: Suggester) -> Value:
        """Let the suggester pick a value under this name."""
        return suggester.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def contains(self, value: object) -> bool:
        """Whether the value could be picked."""
        if not isinstance(value, int) or isinstance(value, bool):
            return False
        return self.low <= value <= self.high and (value - self.low) % self.step == 0

    def nearest(self, value: object) -> Value | None:
        """The value in the range that is nearest to another one; None if that is no number."""
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        inside = min(max(value, self.low), self.high)
        return self.low + round((inside - self.low) / self.step) * self.step

    def extremes(self) -> list[Value]:
        """The values at the edges and the second one, for checks of what a training accepts."""
        return [self.low, self.low + self.step, self.high]


class Choice(_Base):
    """One of a few values, without an order."""

    type: Literal["choice"]
    choices: list[Value] = Field(min_length=2)

    @model_validator(mode="after")
    def _choices_differ(self) -> "Choice":
        if len(set(map(repr, self.choices))) < len(self.choices):
            raise ValueError(f"choices must differ from each other, but got {self.choices}")
        return self

    def suggest(self, name: str, suggester: Suggester) -> Value:
        """Let the suggester pick a value under this name."""
        picked: Value = suggester.suggest_categorical(name, self.choices)
        return picked

    def contains(self, value: object) -> bool:
        """Whether the value could be picked."""
        return any(type(value) is type(choice) and value == choice for choice in self.choices)

    def nearest(self, value: object) -> Value | None:
        """The same choice; None if it is none of them."""
        return next((c for c in self.choices if self.contains(value) and c == value), None)

    def extremes(self) -> list[Value]:
        """All choices, for checks of what a training accepts."""
        return list(self.choices)


Parameter = Annotated[Float | Int | Choice, Field(discriminator="type")]


def _check_range(low: float, high: float, log: bool) -> None:
    if not low < high:
        raise ValueError(f"low must be below high, but got low {low}, high {high}")
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ValueError(f"low and high must be finite, but got low {low}, high {high}")
    if log and low <= 0:
        raise ValueError(f"low must be above 0 on a log scale, but got low {low}")
