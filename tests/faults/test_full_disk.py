"""A disk without room: one clear line, and a study that opens and goes on when there is room."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from tests.search.processes import done, finished, kill, log_of, start_search, wait_until

resource = pytest.importorskip("resource")  # Not on Windows.

pytestmark = pytest.mark.slow

LONG = {"training": {"epochs": 40}, "workers": {"threads": 1, "checkpoint_every": 0.0}}


@pytest.fixture
def small_disk(tmp_path):
    """`runs/` on a file system of 8 MiB."""
    folder = tmp_path / "runs"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.getuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder) -> None:
    """Leave no room."""
    with (folder / "filler").open("wb", buffering=0) as file:
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)


def assert_one_line(output: str) -> None:
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1, output
    assert "make room" in errors[0]
    assert "Traceback" not in output


def test_a_disk_that_fills_up_ends_the_search_and_costs_nothing(
    search, small_disk, tmp_path
) -> None:
    process = search(**LONG)
    wait_until(lambda: "trial 1 epoch 5," in log_of(tmp_path))
    fill(small_disk)
    assert_one_line(finished(process, code=1))

    (small_disk / "filler").unlink()
    assert done(tmp_path) >= 1  # The study opens, before anybody has mended anything.
    process = search(**LONG)
    wait_until(lambda: "confirm trial" in log_of(tmp_path))
    kill(process)
    assert done(tmp_path) == 6
    assert not list((small_disk / "tiny" / "checkpoints").glob("trial-*"))


@pytest.mark.parametrize(
    ("limit", "code"), [(10_000, 2), (250_000, 1)], ids=["the data", "the study"]
)
def test_files_that_may_not_grow_are_one_line(image_folder, tmp_path, limit, code) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        process = start_search(tmp_path, trials=200, training={"epochs": 10})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert_one_line(finished(process, code))
    done_before = done(tmp_path) if code == 1 else 0
    process = start_search(tmp_path, trials=200, training={"epochs": 10})
    try:
        wait_until(lambda: log_of(tmp_path) and done(tmp_path) > done_before)
    finally:
        kill(process)
