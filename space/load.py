"""Spaces from TOML: the named ones in this folder, or a file of the user's."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from pydantic import ValidationError

from records.toml import did_you_mean, short_repr
from space.parameters import Choice, Int
from space.space import Space

NAMED_SPACES = ("default", "extended", "pretrained")


def load_space(name_or_path: str) -> Space:
    """Load a named space, or a TOML file with one table per parameter.

    Raises:
        ValueError: There is no such space, or a parameter is not declared as it must be.
    """
    named = name_or_path in NAMED_SPACES
    path = resources.files("space") / f"{name_or_path}.toml" if named else Path(name_or_path)
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"a space must be valid TOML, but '{name_or_path}': {error}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a UTF-8 text file"
        raise ValueError(
            f"a space must be one of {', '.join(NAMED_SPACES)} or a readable TOML file, "
            f"but got '{name_or_path}': {reason}"
        ) from None
    return parse_space(name_or_path, declared)


def parse_space(name: str, declared: Mapping[str, object]) -> Space:
    """Turn tables of parameters, in sampling order, into a space.

    Raises:
        ValueError: In one sentence that names the space, the parameter and the rule.
    """
    for parameter, table in declared.items():
        if not isinstance(table, dict):
            raise ValueError(
                f"a parameter must be a table such as [{parameter}] with type, low and high, "
                f"but got {table!r} (space '{name}', parameter '{parameter}')"
            )
    try:
        return Space.model_validate({"name": name, "parameters": dict(declared)})
    except ValidationError as error:
        raise ValueError(_one_line(name, error)) from None


def with_ranges(space: Space, ranges: Mapping[str, Sequence[float]]) -> Space:
    """The same space with other ends, `(low, high)`, of some parameters by name.

    Raises:
        ValueError: In one sentence, if there is no such parameter or it cannot have that range.
    """
    declared = {n: p.model_dump(exclude_defaults=True) for n, p in space.parameters.items()}
    for name, (low, high) in ranges.items():
        parameter = space.parameters.get(name)
        if parameter is None or isinstance(parameter, Choice):
            known = [n for n, p in space.parameters.items() if not isinstance(p, Choice)]
            raise ValueError(
                f"a range must be of a parameter of numbers, but got '{name}': "
                f"{did_you_mean(name, known)}known are {', '.join(known)} (space '{space.name}')"
            )
        whole = isinstance(parameter, Int)
        ends = [int(end) if whole and end == int(end) else end for end in (low, high)]
        declared[name] = {
            **declared[name], "type": parameter.type, "low": ends[0], "high": ends[1],
        }  # fmt: skip
    return parse_space(space.name, declared) if ranges else space


def _one_line(name: str, error: ValidationError) -> str:
    """The first thing that is wrong, as one sentence."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"][1:]]
    parameter, inside = (place[0] if place else "?"), place[2:]
    field = f"{inside[0]}: " if inside else ""
    rule = str(first.get("ctx", {}).get("error") or _PLAIN_RULES.get(first["type"], first["msg"]))
    got = "" if ", but got" in rule else f", but got {short_repr(first['input'])}"
    return f"{field}{rule}{got} (space '{name}', parameter '{parameter}')"


_PLAIN_RULES = {
    "missing": "this key must be given",
    "extra_forbidden": "keys must be among type, low, high, log, step, choices, sets, when "
    "(as the type has them)",
    "union_tag_invalid": "type must be 'float', 'int' or 'choice'",
    "union_tag_not_found": "type must be given: 'float', 'int' or 'choice'",
    "float_type": "this must be a number",
    "int_type": "this must be a whole number",
    "bool_type": "this must be true or false",
    "list_type": "this must be a list",
}
