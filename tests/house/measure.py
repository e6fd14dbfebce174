"""`python -m tests.house.measure [FOLDER]`: the size and shape of the house, for docs/decisions.md."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.house.test_house import ROOT, functions, length

PACKAGES = ("space", "records", "train_core", "studies", "search", "reports", "serve")


def files(root: Path) -> list[Path]:
    """All modules that are installed."""
    return sorted(path for package in PACKAGES for path in (root / package).rglob("*.py"))


def needed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker looks at."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from needed(node)


def imports(path: Path, known: set[str]) -> Iterator[str]:
    """Modules of ours that a module imports, at once or when it needs them."""
    for node in needed(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            both = [f"{node.module}.{name.name}" for name in node.names] + [node.module]
            yield from (name for name in both if name in known)


def depth(root: Path, start: str) -> int:
    """Modules on the longest chain of imports that begins at one."""
    paths = {".".join(p.relative_to(root).with_suffix("").parts): p for p in files(root)}
    found: dict[str, int] = {}

    def below(name: str) -> int:
        if name not in found:
            found[name] = 0  # Should there be a circle.
            deeper = (below(other) for other in imports(paths[name], set(paths)))
            found[name] = 1 + max(deeper, default=0)
        return found[name]

    return below(start)


def loaded(root: Path) -> int:
    """Modules of ours that `search.run --help` imports."""
    code = (
        "import sys; import search.run; "
        f"print(sum(name.split('.')[0] in {PACKAGES} for name in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={"PYTHONPATH": str(root)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(run.stdout)


def main() -> None:
    """Print it."""
    root = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    found = files(root)
    lengths = sorted(length(node) for path in found for node in functions(path))
    rows = {
        "modules": len(found),
        "of them under 50 lines": sum(len(p.read_text().splitlines()) < 50 for p in found),
        "lines": sum(len(path.read_text().splitlines()) for path in found),
        "functions": len(lengths),
        "lines of a function: median, p90, p99": ", ".join(
            str(lengths[int(share * (len(lengths) - 1))]) for share in (0.5, 0.9, 0.99)
        ),
        "modules that search.run --help imports": loaded(root),
        "modules on the longest chain of imports from search.run": depth(root, "search.run"),
    }
    sys.stdout.write("".join(f"{name}: {value}\n" for name, value in rows.items()))


if __name__ == "__main__":
    main()
