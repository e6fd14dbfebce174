"""What may vary in a search, and between which bounds.

A space is a named, ordered set of parameters, declared in TOML. It knows neither the tuner that
samples it nor the training that the samples configure.
"""

from space.load import NAMED_SPACES, load_space, parse_space, with_ranges
from space.parameters import Choice, Float, Int, Parameter, Suggester, Value
from space.space import Space

__all__ = [
    "NAMED_SPACES", "Choice", "Float", "Int", "Parameter", "Space", "Suggester", "Value",
    "load_space", "parse_space", "with_ranges",
]  # fmt: skip
