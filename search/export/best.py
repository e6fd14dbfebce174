"""The `best/` folder as a whole: what is said about the model in it, and moving it into place."""

import json
from pathlib import Path
from typing import Any

from search.export.card import model_card


def write_metrics(folder: Path, metrics: dict[str, Any]) -> None:
    """Write `metrics.json` and the model card made from it."""
    _write(folder / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False) + "\n")
    _write(folder / "README.md", model_card(metrics))


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """What is in `metrics.json`; None if nothing was exported there."""
    try:
        read: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return read


def _write(path: Path, text: str) -> None:
    """All or nothing: the folder may be in use."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)


def keep_old(folder: Path) -> None:
    """Move an earlier export out of the way: nothing that was made is lost."""
    if folder.exists():
        count = 1
        while (kept := folder.with_name(f"{folder.name}-{count}")).exists():
            count += 1
        folder.replace(kept)
