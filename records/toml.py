"""TOML files to validated configs, with every mistake told in one sentence, and back."""

import codecs
import tomllib
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import tomli_w
from pydantic import BaseModel, ValidationError

Model = TypeVar("Model", bound=BaseModel)


def read_toml(path: str) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        ValueError: In one sentence, if the file cannot be read or is not TOML.
    """
    try:
        # Editors on Windows begin UTF-8 with a mark, which TOML does not know.
        return tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"a config must be a readable file, but '{path}': {reason}") from None
    except UnicodeDecodeError as error:
        utf16 = error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        reason = "it is UTF-16" if utf16 else f"byte {error.start + 1} is no UTF-8"
        raise ValueError(
            f"a config must be valid TOML, so UTF-8, but '{path}': {reason}; save it as UTF-8"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"a config must be valid TOML, but '{path}': {error}") from None


def validate(model: type[Model], values: Mapping[str, Any], source: str) -> Model:
    """Make a config of these values, which come from a source that messages name.

    Raises:
        ValueError: In one sentence that names the source, the key, the rule and the value.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ValueError(_sentence(model, error, source)) from None


def write_toml(path: Path, values: Mapping[str, Any]) -> None:
    """Write a config; keys without a value (None) are left out, as TOML has no word for it."""
    path.write_text(tomli_w.dumps(without_none(values)), encoding="utf-8")


def without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same tables without the keys that have no value."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value is not None
    }


def short_repr(value: object) -> str:
    """A value as Python writes it, in at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A question that offers the known name nearest to this one; empty if none is near."""
    near = get_close_matches(name, known, n=1)
    return f"did you mean '{near[0]}'? " if near else ""


def _sentence(model: type[BaseModel], error: ValidationError, source: str) -> str:
    """The first thing that is wrong, as one sentence."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    section, key = place[:-1], (place[-1] if place else "config")
    where = f"{source}, [{'.'.join(section)}]" if section else source
    if first["type"] == "extra_forbidden":
        known = _keys(model, section)
        hint = did_you_mean(key, known)
        return f"there is no key '{key}': {hint}known are {', '.join(known)} ({where})"
    context = first.get("ctx", {})
    if "error" in context:
        return f"{context['error']} ({where})"
    rule = first["msg"].partition(" should ")[2].replace("a valid integer", "an integer")
    value = short_repr(first["input"])
    return f"{key} must {rule.replace('a valid ', 'a ')}, but got {value} ({where})"


def _keys(model: type[BaseModel], section: list[str]) -> list[str]:
    """The keys of a config, or of a section inside it."""
    for name in section:
        inner = model.model_fields[name].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        model = inner
    return list(model.model_fields)
