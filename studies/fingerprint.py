"""What a study was made with, so that a resume that would mix two searches is refused."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

FINGERPRINT = "fingerprint"
"""The study's attribute that holds it."""

_NOTHING: Mapping[str, Any] = {}


def refuse_other(
    stored: Mapping[str, Any],
    wanted: Mapping[str, Any],
    study: str,
    defaults: Mapping[str, Any] = _NOTHING,
    ignored: Collection[str] = (),
) -> None:
    """Refuse to go on when the study was made with something else.

    Args:
        stored: What the study was made with, nested.
        wanted: What the search is asked to use now.
        study: Its name.
        defaults: What a key had that earlier versions did not know, nested in the same way.
        ignored: Dotted keys that earlier versions stored although they decide nothing.

    Raises:
        ValueError: In one sentence that spells out every difference.
    """
    changes = [
        f"{name} = {_shown(old)}, not {_shown(new)}"
        for name, old, new in _differences(stored, wanted, defaults)
        if name not in ignored
    ]
    if changes:
        raise ValueError(
            f"a study can only go on with what it was made with, but study '{study}' has "
            f"{'; '.join(changes)}: undo that, or start another study with --study NAME"
        )


def _differences(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Dotted key, what was stored, and what is wanted, where these are not the same."""
    for key in [*stored, *(key for key in wanted if key not in stored)]:
        default, new = defaults.get(key), wanted.get(key)
        section = default if isinstance(default, Mapping) else _NOTHING
        old = stored.get(key, None if section else default)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for name, before, now in _differences(old, new, section):
                yield f"{key}.{name}", before, now
        elif old != new:
            yield key, old, new


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return "nothing" if value is None else str(value)
