"""What the tests share: tiny real images, in memory and as files."""

import os
import subprocess
import sys
from functools import cache
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from optuna.storages._rdb.storage import _VersionManager
from PIL import Image

from records.command_line import run_app
from tests.browser import browser as browser
from train_core.images import ImageData, Part

_BOUND = [
    "setpriv",
    *(f"--{which}=-dac_override,-dac_read_search" for which in ("bounding-set", "inh-caps")),
]

SIDE = 16
CPU = torch.device("cpu")

# Threads that wait for each other spin: with more of them than free cores, everything crawls.
torch.set_num_threads(1)

# The first text that Hypothesis draws on a machine takes seconds; examples are the same for all.
settings.register_profile(
    "house", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

# Optuna executes all its migrations anew, up to three times, whenever a storage is opened.
_read_migrations = _VersionManager._create_alembic_script
_migrations: list = []


def _read_once(manager):
    if not _migrations:
        _migrations.append(_read_migrations(manager))
    return _migrations[0]


_VersionManager._create_alembic_script = _read_once


def stripes(count: int, seed: int = 0, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Learnable images: noise with bright stripes whose spacing is the class.

    Returns `(count, 16, 16, 3)` uint8 and `(count,)` int64; every class as often as the others.
    """
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    images = random.integers(0, 120, (count, SIDE, SIDE, 3))
    for image, label in zip(images, labels, strict=True):
        image[:: label + 2] += 100
    return images.astype(np.uint8), labels


def image_data(train: int = 96, validation: int = 30, seed: int = 0) -> ImageData:
    """Stripes on the CPU."""
    parts = [
        Part.of(*stripes(count, seed + i), CPU) for i, count in enumerate((train, validation))
    ]
    return ImageData(parts[0], parts[1] if validation else None, ("a", "b", "c"), mirror=True)


def pytest_configure(config) -> None:
    """Leave GPUs alone but for the tests that need one: only a CPU gives the same bits again."""
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
        # torch looks through what it remembers of its answer.
        torch.backends.mps.is_available = cache(lambda: False)


@pytest.fixture
def data() -> ImageData:
    return image_data()


@pytest.fixture
def image_folder(tmp_path):
    """A folder with `train/` and `test/` of three classes, as PNG files."""
    root = tmp_path / "pictures"
    write_pictures(root)
    return root


def write_pictures(root) -> None:
    """What `image_folder` holds."""
    write_images(root / "train", 60)
    write_images(root / "test", 15, seed=9)


def write_images(root, count: int, seed: int = 0) -> None:
    """Write stripes as `root/<class>/<number>.png`."""
    images, labels = stripes(count, seed)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{number:03d}.png")


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """Run the command of a module in this process, which has imported it, in an empty folder.

    For what a process of its own would show no better; `run_module` starts one.
    """

    def run(module: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", [module, *map(str, arguments)])
        capsys.readouterr()
        try:
            code = run_app(import_module(module).app)
        except SystemExit as end:
            code = end.code
        return subprocess.CompletedProcess(module, code, *capsys.readouterr())

    return run


@pytest.fixture
def run_module(tmp_path):
    """Run `python -m MODULE` as a user would, in an empty folder.

    With `bound`, permissions count even for root.
    """

    def run(
        module: str, *arguments: object, env: dict[str, str] | None = None, bound=False, **options
    ):
        return subprocess.run(
            [
                *(_BOUND if bound and not os.getuid() else []),
                *(sys.executable, "-W", "error", "-m", module, *map(str, arguments)),
            ],
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
            timeout=200,
            **{"cwd": tmp_path, **options},
        )

    return run
