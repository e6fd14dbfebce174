"""Writing files so that nobody ever sees half of one."""

from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """All or nothing: somebody may be looking at the page."""
    scratch = path.with_name(f".{path.name}")
    scratch.write_text(text, encoding="utf-8")
    scratch.replace(path)
