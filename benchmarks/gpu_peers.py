"""Parts of `benchmarks.gpu_check` about the airbench scripts, on our images and this machine.

They run as they are, in a folder where they find the images as they would have stored them; they
have no arguments, so they are stopped when they have trained often enough.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_part import CommandFailed, NotHere, Row, Setting, last_line, needs_cuda
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, load_part, prepare
from train_core.data.source import PartName

_RUNS = 5
"""Trainings of one script, with the first one, in which kernels are tried or compiled."""

_CHANCE = 0.5
"""Accuracy under which a training was a warm-up on random labels."""


def airbench(setting: Setting, script: str) -> Iterator[Row]:
    """Seconds and accuracy of a script's trainings, by its own clock and with its own views."""
    if setting.airbench is None:
        raise NotHere("needs --airbench FOLDER")
    path = setting.airbench / script
    if not path.exists():
        raise NotHere(f"needs {script} in the airbench folder")
    if not setting.smoke:
        needs_cuda()
    folder = _folder(setting)
    for number, (seconds, accuracy) in enumerate(_trainings(path, folder)):
        if number == 0 or accuracy < _CHANCE:
            yield Row(f"{script}, first or warm-up", "s", (seconds,))
        else:
            yield Row(script, "s", (seconds,))
            yield Row(script, "% test accuracy, 6 views", (100 * accuracy,))
        if number + 1 == _RUNS:
            return


def _trainings(script: Path, folder: Path) -> Iterator[tuple[float, float]]:
    """What a script says of every training; it is stopped when nobody asks for more."""
    log, head = folder / "log", [""]
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [sys.executable, "-u", str(script)], cwd=folder, stdout=subprocess.PIPE,
            stderr=errors, text=True,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            cells = cells_of(line)
            head = cells if "epoch" in cells else head
            found = final_figures(head, cells)
            if found is not None:
                yield found
        process.wait()
        raise CommandFailed(last_line(log.read_text(encoding="utf-8", errors="replace")))
    finally:
        process.kill()


def cells_of(line: str) -> list[str]:
    """The cells of a line `|  a  |  b  |`; of any other line, nothing of use."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def final_figures(head: list[str], cells: list[str]) -> tuple[float, float] | None:
    """Seconds and accuracy from the last line of a training; None for every other line."""
    named = dict(zip(head, cells, strict=False))
    if named.get("epoch") != "eval":
        return None
    seconds = next(float(cell) for name, cell in named.items() if name.endswith("time_seconds"))
    return seconds, float(named["tta_val_acc"])


def _folder(setting: Setting) -> Path:
    """A folder to run the scripts in, with the images."""
    folder = setting.work / "airbench"
    images = folder / "cifar10"
    if not images.exists():
        images.mkdir(parents=True)
        data = DataConfig(dataset=setting.dataset, root=str(setting.work / "data"))
        prepared = prepare(data)
        _store(prepared, "train", images)
        _store(prepared, "test", images)
    return folder


def _store(prepared: PreparedData, part: PartName, folder: Path) -> None:
    arrays = load_part(prepared, part)
    # CIFAR-10 comes shuffled, and the first 5,000 images are taken for a sample of all.
    order = np.random.default_rng(0).permutation(len(arrays.labels))
    stored = {
        "images": torch.from_numpy(arrays.images[order]),
        "labels": torch.from_numpy(arrays.labels[order].astype(np.int64)),
        "classes": list(prepared.classes),
    }
    torch.save(stored, folder / f"{part}.pt")
