"""Scripts that call a search as they should not, run as users run them."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

_SCRIPT = """
from search import SearchConfig, run_search

run_search(SearchConfig(trials=1, runs="runs", data={"dataset": "no such folder"}))
"""


def run(tmp_path, *words: str, script: str = "") -> tuple[int, list[str]]:
    """Exit code, and the lines on stderr."""
    outcome = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, input=script, capture_output=True, text=True,
        timeout=200,
    )  # fmt: skip
    return outcome.returncode, outcome.stderr.splitlines()


def test_a_script_without_the_guard_is_told_of_it_at_once(tmp_path) -> None:
    (tmp_path / "script.py").write_text(_SCRIPT)
    code, lines = run(tmp_path, "script.py")
    assert code == 1
    assert lines[-1] == (
        "ValueError: a search starts processes that import the script again, but importing it "
        'calls the search: put the call below `if __name__ == "__main__":`'
    )
    assert sum("Traceback" in line for line in lines) == 1  # Of the script, and of no worker.
    assert not (tmp_path / "runs").exists()


def test_a_script_on_standard_input_is_told_that_it_must_be_a_file(tmp_path) -> None:
    code, lines = run(tmp_path, "-", script=_SCRIPT)
    assert code == 1
    assert "but it is <stdin>: save it" in lines[-1]
    assert 'below `if __name__ == "__main__":`' in lines[-1]


def test_a_command_on_the_command_line_needs_none(tmp_path) -> None:
    code, lines = run(tmp_path, "-c", _SCRIPT)
    assert code == 1
    assert "no such folder" in lines[-1]
