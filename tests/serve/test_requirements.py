"""What a slim container installs is what the package imports, with the project's own bounds."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]
WANTED = [
    line
    for line in (ROOT / "serve" / "requirements.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_bounds_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(WANTED) <= set(project["dependencies"])


def test_everything_that_is_imported_is_named_and_nothing_else() -> None:
    imported = set()
    for path in (ROOT / "serve").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.module is not None
                imported.add(node.module.split(".")[0])
    by_module = packages_distributions()
    names = {
        by_module[module][0].lower().replace("_", "-")
        for module in imported - set(sys.stdlib_module_names) - {"serve"}
    }
    # Werkzeug comes with Flask, which is built on it.
    assert names - {"werkzeug"} == {line.split(">")[0] for line in WANTED}
