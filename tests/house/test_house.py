"""Rules of the house that no linter knows."""

import ast
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("space", "records", "train_core", "studies", "search", "reports", "serve")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(node: ast.FunctionDef) -> int:
    """Lines without the docstring."""
    text = ast.get_docstring(node, clean=False)
    return node.end_lineno - node.lineno + 1 - (text.count("\n") + 1 if text else 0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_are_short(path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    for node in functions(path):
        assert length(node) <= 40, node.name


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_can_be_read_at_a_glance(package) -> None:
    """What a reader sees who opens it; `__init__` says what the folder is for."""
    most = 10 if package == "search" else 13
    for folder in [ROOT / package, *(p for p in (ROOT / package).rglob("*") if p.is_dir())]:
        if folder.name not in ("__pycache__", "static", "templates", "recipes"):
            names = [p.name for p in folder.iterdir() if p.name != "__pycache__"]
            assert len(names) <= most, f"{folder.relative_to(ROOT)}: {sorted(names)}"


def test_names_say_something() -> None:
    assert not {path.stem for path in FILES} & {"utils", "util", "common", "helpers", "misc"}


def test_exceptions_are_raised_with_one_sentence() -> None:
    """A second argument is a comma that should have been part of the sentence."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                assert len(node.exc.args) <= 1, f"{path}:{node.lineno}"


def test_commands_that_make_files_go_on_without_a_reader() -> None:
    # Their output is all that they make, or comes after it.
    printing = {
        "reports/compare.py", "reports/run.py", "serve/run.py", "serve/similar.py",
        "studies/dashboard/__main__.py", "studies/proxy.py", "train_core/inspect.py",
    }  # fmt: skip
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in FILES}
    ending = {p for p, text in texts.items() if "(run_app(app))" in text}
    assert {p for p in ending if "redirect_stdout(output)" not in texts[p]} == printing


def test_every_package_and_data_file_is_installed() -> None:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(path.parent.relative_to(ROOT).parts) for path in FILES}
    assert found == set(tool["packages"])
    others = ("*.toml", "*.j2", "*.css", "*.js")
    for path in [p for package in PACKAGES for o in others for p in (ROOT / package).rglob(o)]:
        package, *inside = path.relative_to(ROOT).parts
        patterns = tool["package-data"][package]
        assert any(Path(*inside).match(pattern) for pattern in patterns), path


def test_constraints_pin_every_dependency_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all("==" in line and "/" not in line for line in lines if not line.startswith("#"))
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    names = {w.split(">")[0].split("[")[0].strip().lower() for w in wanted}
    assert names <= pinned


def test_the_changelog_knows_this_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_run_and_no_data_is_tracked() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = listed.stdout.splitlines()
    assert not [name for name in tracked if name.startswith(("runs/", "data/"))]
    assert not {Path(name).name for name in tracked} & {"uv.lock", "poetry.lock"}
