"""How fast the published CIFAR-10 records train here, by what their own scripts say.

The scripts are those of https://github.com/KellerJordan/cifar10-airbench (Jordan, "94% on CIFAR-10
in 3.29 Seconds on a Single GPU", 2024), in a folder that the user has fetched. They run as they
are, with noise where they look for CIFAR-10: their speed does not depend on what images show.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer

import torch

from benchmarks.measure import noise

_RUNS = 4
"""Trainings that are waited for; in the first one kernels are chosen, or compiled."""


def published_speeds(script: Path, images: int, limit: float) -> list[float]:
    """Images/s of each training after the first one; whitening and the test are in its time.

    Args:
        script: It must say `train_epochs` and `batch_size`, read `cifar10/train.pt` and
            `cifar10/test.pt`, and print a row "eval" for each training, with its seconds last.
        images: Of noise, per epoch.
        limit: Seconds after which it is ended.
    """
    text = script.read_text(encoding="utf-8")
    epochs, batch = _number("train_epochs", text), int(_number("batch_size", text))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cifar10").mkdir()
        for part in ("train", "test"):
            pixels, labels = map(torch.from_numpy, noise(images))
            content = {"images": pixels, "labels": labels, "classes": [*"0123456789"]}
            torch.save(content, Path(folder, "cifar10", f"{part}.pt"))
        seconds = _seconds(script, folder, limit)
    # It drops the last images of an epoch that fill no batch.
    return [epochs * (images // batch * batch) / each for each in seconds[1:]]


def _number(key: str, text: str) -> float:
    found = re.search(rf"'{key}': ([\d.]+)", text)
    if found is None:
        raise ValueError(f"a script must say '{key}', but this one does not: name a published one")
    return float(found[1])


def _seconds(script: Path, folder: str, limit: float) -> list[float]:
    command, found = [sys.executable, "-u", str(script.resolve())], list[float]()
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        alarm = Timer(limit, process.kill)
        alarm.start()
        assert process.stdout is not None
        for line in process.stdout:
            cells = [cell.strip() for cell in line.split("|")]
            if "eval" in cells:
                found.append(float(cells[-2]))
            if len(found) == _RUNS:
                break
        alarm.cancel()
        process.kill()
    return found
