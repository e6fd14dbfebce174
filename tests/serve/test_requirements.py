"""What a slim container installs is what serving imports, with the project's own bounds."""

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


def imports(path: Path) -> set[str]:
    """The modules that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


def test_everything_that_is_imported_is_named_and_nothing_else() -> None:
    """By the package and by those modules of `records` that it uses, directly or not."""
    waiting, seen, imported = list((ROOT / "serve").rglob("*.py")), set(), set()
    while waiting:
        names = imports(path := waiting.pop())
        seen.add(path)
        imported |= {name.split(".")[0] for name in names}
        ours = {ROOT / name.replace(".", "/") for name in names if "records." in name}
        files = {one / "__init__.py" if one.is_dir() else one.with_suffix(".py") for one in ours}
        waiting += files - seen
    by_module = packages_distributions()
    names = {
        by_module[module][0].lower().replace("_", "-")
        for module in imported - set(sys.stdlib_module_names) - {"records", "serve"}
    }
    # Werkzeug comes with Flask, which is built on it.
    assert names - {"werkzeug"} == {line.split(">")[0] for line in WANTED}
