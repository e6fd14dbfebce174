"""What the documents say is held against the code, and how they say it against our own rules."""

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_command

from search.config import ConfirmConfig, LoggingConfig, SearchConfig, SpaceConfig, WorkersConfig
from space.parameters import Choice, Float, Int
from studies.config import StudyConfig
from train_core.config import TrainConfig, load_recipe
from train_core.data.config import DataConfig

ROOT = Path(__file__).parents[2]
DOCS = sorted(ROOT.glob("docs/*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *DOCS]
NEW = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
"""All but the history, which names what was there once."""

FOLDERS = (
    "space", "records", "train_core", "studies", "search", "reports", "serve", "benchmarks",
    "tests", "docs", ".ci",
)  # fmt: skip

RIDDLES = (
    "nobody in particular", "luck is taken out", "ledger", "noticeboard", "scout", "crew",
    "handed back", "hands back", "thinned", "test looks", "the pruner's bar",
)  # fmt: skip
"""Words that a newcomer cannot know, and what they were once used for in this house."""


def rows(heading: str) -> dict[str, list[str]]:
    """Key -> the other cells, of the tables below a heading of the page about configuration."""
    text = (ROOT / "docs" / "configuration.md").read_text()
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = {}
    for line in section.splitlines():
        first, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        for key in re.findall(r"`(\w+)`", first) if line.startswith("|") else []:
            found[key] = cells
    return found


def blocks(text: str) -> list[str]:
    """What stands between fences."""
    return re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def prose(text: str) -> str:
    """All but what stands between fences."""
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


@cache
def flags(name: str) -> frozenset[str]:
    """Those of a command, with --help."""
    package = find_spec(name).submodule_search_locations is not None
    app = import_module(f"{name}.__main__" if package else name).app
    command = get_command(app)
    commands = [command, *getattr(command, "commands", {}).values()]
    options = [option for one in commands for param in one.params for option in param.opts]
    return frozenset(option for option in options if option.startswith("--")) | {"--help"}


@cache
def anchors(document: Path) -> frozenset[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)", prose(document.read_text()), re.MULTILINE)
    return frozenset(re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings)


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


def test_every_flag_of_a_search_is_documented() -> None:
    described = re.findall(r"--[a-z-]+", (ROOT / "docs" / "configuration.md").read_text())
    assert set(described) >= flags("search.run") - {"--help"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document.read_text())):
        if "://" not in target:
            name, _, anchor = target.partition("#")
            path = (document.parent / name).resolve() if name else document
            assert path.exists(), target
            assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("document", NEW, ids=lambda path: path.name)
def test_files_and_folders_that_are_named_exist(document) -> None:
    named = re.findall(r"`([\w.]+/[\w/.-]*)`", prose(document.read_text()))
    for name in named:
        if name.split("/")[0] in FOLDERS:
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("document", NEW, ids=lambda path: path.name)
def test_commands_that_are_named_exist(document) -> None:
    text = document.read_text()
    for name in re.findall(r"python -m ([\w.]+)", text):
        spec = find_spec(name)
        assert spec is not None, name
        runs = spec.submodule_search_locations is None or find_spec(f"{name}.__main__") is not None
        assert runs, f"{name} has no __main__"
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE):
        assert f"\n{target}:" in makefile, target


@pytest.mark.parametrize("document", NEW, ids=lambda path: path.name)
def test_commands_know_the_flags_that_they_are_given(document) -> None:
    lines = "\n".join(blocks(document.read_text())).splitlines()
    commands = [
        re.search(r"python -m ((?:search|studies|reports|serve|train_core)\.\w+)", li)
        for li in lines
    ]
    for line, command in zip(lines, commands, strict=True):
        if command:
            given = set(re.findall(r"(?<= )--[a-z-]+", line.split(" #")[0]))
            assert given <= flags(command[1]), line


def test_every_picture_is_shown() -> None:
    shown = " ".join(path.read_text() for path in DOCUMENTS)
    assert [p.name for p in ROOT.glob("docs/*.png") if f"{p.name})" not in shown] == []


def test_docs_are_short() -> None:
    lines = "\n".join(path.read_text() for path in DOCS).splitlines()
    # A table is looked up and not read: it grows with every key and every fault.
    words = " ".join(line for line in lines if not line.startswith("|")).split()
    assert sum(any(c.isalnum() for c in word) for word in words) < 7_500


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_lines_are_short(document) -> None:
    lines = prose(document.read_text()).splitlines()
    assert [
        li for li in lines if len(li) > 120 and not li.startswith("|") and "](" not in li
    ] == []


@pytest.mark.parametrize("document", NEW, ids=lambda path: path.name)
def test_words_are_those_of_the_field(document) -> None:
    text = document.read_text().lower()
    assert [word for word in RIDDLES if re.search(rf"\b{word}", text)] == []


def test_there_is_one_console_dump() -> None:
    found = [
        block for path in NEW for block in blocks(path.read_text()) if "test accuracy:" in block
    ]
    assert len(found) == 1
    assert len(found[0].splitlines()) < 50


def test_the_first_screen_of_the_readme_is_for_newcomers() -> None:
    """What it is, how to install it, how to use it and a picture come before the first heading."""
    first = (ROOT / "README.md").read_text().split("\n## ", 1)[0]
    assert len(first.splitlines()) <= 35
    assert "pip install" in first
    assert "python -m search.run" in first
    assert len(re.findall(r"!\[", first)) == 1
