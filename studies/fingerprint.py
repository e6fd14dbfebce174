"""What a study was made with, so that a resume that would mix two searches is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

FINGERPRINT = "fingerprint"
"""The study's attribute that holds it."""


def refuse_other(stored: Mapping[str, Any], wanted: Mapping[str, Any], study: str) -> None:
    """Refuse to go on when the study was made with something else.

    Args:
        stored: What the study was made with, nested.
        wanted: What the search is asked to use now.
        study: Its name.

    Raises:
        ValueError: In one sentence that spells out every difference.
    """
    changes = list(_differences(stored, wanted, ""))
    if changes:
        raise ValueError(
            f"a study can only go on with what it was made with, but study '{study}' has "
            f"{'; '.join(changes)}: undo that, or start another study with --study NAME"
        )


def _differences(
    stored: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str
) -> Iterator[str]:
    for key in [*stored, *(key for key in wanted if key not in stored)]:
        old, new, name = stored.get(key), wanted.get(key), f"{prefix}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{name}.")
        elif old != new:
            yield f"{name} = {_shown(old)}, not {_shown(new)}"


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    return "nothing" if value is None else str(value)
