"""The cache of decoded images: what ends up in it, whoever writes to it and is killed there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import write_images
from tests.train_core.data.at_once import go, prepared_at_once, result, started
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare


@pytest.fixture
def config(image_folder, tmp_path) -> DataConfig:
    return DataConfig(dataset=str(image_folder), root=str(tmp_path / "data"), image_size=16)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "data" / "cache"


def rebuilt(config: DataConfig, cache) -> bool:
    """Whether `prepare` builds another folder in the place of the one that is there."""
    (before,) = cache.glob("*/facts.json")
    inode = before.stat().st_ino
    prepare(config)
    (after,) = cache.glob("*/facts.json")
    return after.stat().st_ino != inode


@pytest.mark.parametrize("text", ["", "0123456789", "../stamps", "/", "ü" * 20, "A" * 20])
def test_a_stamp_that_is_no_key_is_not_believed(config, cache, text) -> None:
    first = prepare(config)
    (cache / "mine.txt").write_text("precious")
    (stamp,) = (cache / "stamps").iterdir()
    stamp.write_text(text)
    assert prepare(config) == first
    assert (cache / "mine.txt").exists()
    assert stamp.read_text() == Path(first.folder).name


def test_a_stamp_is_never_half_written(config, cache) -> None:
    prepare(config)
    (stamp,) = (cache / "stamps").iterdir()
    stamp.write_text("")
    # Who has the old file open, or as here another name for it, must not see it filled.
    os.link(stamp, cache / "old")
    prepare(config)
    assert (cache / "old").read_text() == ""
    assert len(stamp.read_text()) == 20
    assert list((cache / "stamps").iterdir()) == [stamp]


def test_a_damaged_cache_is_made_again(config, cache) -> None:
    first = prepare(config)
    (file,) = cache.glob("*/train.images.npy")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert prepare(config) == first
    assert file.read_bytes() == whole
    assert not rebuilt(config, cache)


@pytest.mark.parametrize(
    "name", ["train.labels.npy", "test.images.npy", "facts.json", "train.rows.json"]
)
def test_a_cache_with_a_file_missing_is_made_again(config, cache, name) -> None:
    first = prepare(config)
    (file,) = cache.glob(f"*/{name}")
    file.unlink()
    assert prepare(config) == first
    assert file.exists()


def test_arrays_are_only_hashed_when_they_may_have_changed(config, cache, monkeypatch) -> None:
    first = prepare(config)
    # As in a copy of the cache: other times, same content.
    for path in cache.glob("*/*.npy"):
        os.utime(path, ns=(10**18, 10**18))
    assert not rebuilt(config, cache)
    monkeypatch.setattr("train_core.data.prepare.part_sha256", None)
    assert prepare(config) == first


def test_a_change_in_the_tick_of_the_last_look_is_noticed(config, cache) -> None:
    """Two changes within one tick of a file system's clock leave the same time behind."""
    first = prepare(config)
    (file,) = cache.glob("*/train.images.npy")
    (note,) = cache.glob("*/hashed.json")
    whole, tick = file.read_bytes(), file.stat().st_mtime_ns
    file.write_bytes(bytes(len(whole)))
    for path in (file, note):
        os.utime(path, ns=(tick, tick))
    assert prepare(config) == first
    assert file.read_bytes() == whole


@pytest.mark.slow
def test_two_processes_at_once_build_once(tmp_path) -> None:
    write_images(tmp_path / "pictures", 600)
    config = DataConfig(dataset=str(tmp_path / "pictures"), root=str(tmp_path), image_size=16)
    one, other = prepared_at_once(config)
    assert one == other
    assert not list((tmp_path / "cache").glob("building-*"))


@pytest.mark.slow
def test_who_has_to_wait_is_told_so(config, cache) -> None:
    cache.mkdir(parents=True)
    with started(config) as child:
        with FileLock(cache / "lock"):
            go(child)
            said = child.stderr.readline()
        assert said == f"waiting for another process that prepares data in '{cache}'\n"
        assert '"count":60' in result(child)


def test_what_is_whole_is_used_without_waiting(config, cache) -> None:
    first = prepare(config)
    with FileLock(cache / "lock"):
        assert prepare(config) == first


def test_what_a_killed_run_left_is_removed(config, cache) -> None:
    left = cache / "building-abc" / "0123456789abcdef0123"
    left.mkdir(parents=True)
    (left / "train.images.npy").write_bytes(b"half")
    prepare(config)
    assert not list(cache.glob("building-*"))


@pytest.mark.parametrize("blocked", ["data", "data/cache", "data/cache/stamps"])
def test_a_root_that_cannot_be_written_is_one_sentence(config, tmp_path, blocked) -> None:
    (tmp_path / blocked).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / blocked).write_text("a file, where a folder should be")
    with pytest.raises(ValueError, match=f"write below '.*data', but failed .*'{tmp_path}/data"):
        prepare(config)


def test_a_full_disk_is_one_sentence(config, cache) -> None:
    """A limit on the size of files stands for it; Linux says the same way that it cannot write."""
    script = """
import resource, sys
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    prepare(DataConfig.model_validate_json(sys.argv[1]))
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, config.model_dump_json()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "to write below" in done.stdout, done.stderr
    assert "make room" in done.stdout
    assert done.stdout.count("\n") == 1
    assert not list(cache.glob("building-*"))
