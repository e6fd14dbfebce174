"""What an export says of itself, and where exports are found."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError


class _Read(BaseModel):
    """Part of a file that says more than is needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DataFacts(_Read):
    """What it was trained on."""

    name: str
    classes: tuple[str, ...] = Field(min_length=1)
    image_size: int = Field(ge=1)


class TestFacts(_Read):
    """How it did on the test images."""

    __test__ = False

    accuracy: float
    interval_95: tuple[float, float]
    n: int


class SearchFacts(_Read):
    """The search that found it."""

    study: str


class Facts(_Read):
    """The part of `metrics.json` that serving needs."""

    format: int
    created: str
    search: SearchFacts
    data: DataFacts
    test: TestFacts


def read_facts(folder: Path) -> Facts:
    """Read `metrics.json` of a `best/` folder.

    Raises:
        ValueError: In one sentence, if there is no export, or one of another format.
    """
    path = folder / "metrics.json"
    try:
        facts = Facts.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError:
        raise ValueError(
            f"a model must be a folder that a search exported (runs/<study>/best), but '{folder}' "
            f"holds no readable metrics.json"
        ) from None
    except (ValidationError, ValueError) as error:
        reason = str(error).replace("\n", " ")[:200]
        raise ValueError(f"'{path}' must be what a search exported, but: {reason}") from None
    if facts.format != 1:
        raise ValueError(
            f"exports of format 1 can be read, but '{folder}' has format {facts.format}: use the "
            f"version of convsearch that made it, or a newer one"
        )
    return facts


def find_model(given: Path | None, runs: Path = Path("runs")) -> Path:
    """The `best/` folder that was asked for, or the only one there is.

    Raises:
        ValueError: None was asked for, and there is not exactly one below `runs/`.
    """
    if given is not None:
        return given
    found = sorted(path.parent for path in runs.glob("*/best/metrics.json"))
    if len(found) == 1:
        return found[0]
    there = ", ".join(map(str, found)) or "none"
    raise ValueError(
        f"without --model there must be exactly one model in {runs}/*/best, but there are "
        f"{len(found)} ({there}): say which with --model"
    )
