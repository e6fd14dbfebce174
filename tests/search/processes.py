"""Searches as processes of their own, as users start them, and what they leave."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from records.toml import write_toml
from studies.attributes import trial_records
from studies.study import Place, find

TINY = {
    "trials": 6,
    "recipe": "cpu",
    "training": {
        "width": 4,
        "epochs": 3,
        "batch_size": 16,
        "optimizer": "sgd",
        "lr": 8.0,
    },
    "space": {
        "fixed": ["batch_size"],
        "parameters": {"depth": {"type": "int", "low": 1, "high": 2}},
    },
    "study": {"startup_trials": 2},
    "confirm": {"top": 2, "seeds": 2},
    "workers": {"threads": 1},
    "report": False,
}

ONCE = {"top": 1, "seeds": 1}
"""The shortest confirmation."""


def start_search(
    folder: Path, *arguments: object, training: dict | None = None, env=None, **sections
) -> subprocess.Popen:
    """Start `search.run` in a folder with `pictures/`, with the tiny config."""
    data = {"dataset": "pictures", "image_size": 16}
    config = {**TINY, "data": data, **sections}
    config["training"] = {**config["training"], **(training or {})}
    config["study"] = {**config["study"], "name": "tiny"}
    path = folder / f"config-{len(list(folder.glob('config-*')))}.toml"
    write_toml(path, config)
    words = ["--config", path, "--runs", folder / "runs", *arguments]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "search.run", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


def kill(process: subprocess.Popen) -> None:
    """As a power cut would: everything at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    with process:
        pass


def finished(process: subprocess.Popen, code: int = 0, seconds: float = 250.0) -> str:
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == code, output
    return output


def records(tmp_path):
    return trial_records(find(Place("tiny", tmp_path / "runs" / "tiny")))


def done(tmp_path) -> int:
    return sum(record.state in ("complete", "pruned") for record in records(tmp_path))


def wait_until(condition, seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def log_of(tmp_path) -> str:
    path = tmp_path / "runs" / "tiny" / "search.log"
    return path.read_text() if path.exists() else ""
