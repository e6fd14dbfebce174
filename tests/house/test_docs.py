"""What the documents say about keys, recipes and files is held against the code."""

import re
from pathlib import Path

import pytest

from search.config import ConfirmConfig, LoggingConfig, SearchConfig, SpaceConfig, WorkersConfig
from space.parameters import Choice, Float, Int
from studies.config import StudyConfig
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig

ROOT = Path(__file__).parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def rows(heading: str) -> dict[str, list[str]]:
    """Key -> the other cells, of the tables below a heading."""
    section = CONFIGURATION.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in section.splitlines():
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        for key in re.findall(r"`(\w+)`", first) if line.startswith("|") else []:
            found[key] = cells
    return found


@pytest.mark.parametrize(
    ("heading", "config", "elsewhere"),
    [
        ("The top level", SearchConfig,
         {"data", "training", "space", "study", "confirm", "workers", "logging"}),
        ("`[data]`", DataConfig, set()),
        ("`[training]`", TrainConfig, {"seed"}),
        ("`[study]`", StudyConfig, set()),
        ("`[confirm]`", ConfirmConfig, set()),
        ("`[workers]`", WorkersConfig, set()),
        ("`[logging]`", LoggingConfig, set()),
    ],
)  # fmt: skip
def test_every_key_is_documented_and_no_other(heading, config, elsewhere) -> None:
    assert set(rows(heading)) == set(config.model_fields) - elsewhere


def test_every_key_of_a_space_is_documented_and_no_other() -> None:
    kinds = {key for kind in (Float, Int, Choice) for key in kind.model_fields}
    assert set(rows("`[space]`")) == set(SpaceConfig.model_fields) | kinds


@pytest.mark.parametrize("column", range(3))
def test_the_recipes_are_as_documented(column) -> None:
    recipe = load_recipe(("cpu", "fast", "accurate")[column])
    for key, cells in rows("`[training]`").items():
        assert cells[column].lower() == str(getattr(recipe, key)).lower(), key


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_files_that_are_named_exist(document) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (document.parent / target).exists(), target
    for name in re.findall(r"`((?:space|train_core|studies|search|tests|docs)/[\w/.-]+)`", text):
        assert (ROOT / name).exists(), name
