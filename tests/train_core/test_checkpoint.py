import os
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from records.files import part_of
from tests.conftest import image_data
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.fit import fit

SMALL = TrainConfig(width=8, epochs=4, batch_size=16, lr=10.0, augment=0.4, dropout=0.3)


def facts(records):
    return [record.model_dump(exclude={"seconds"}) for record in records]


def interrupted(config, data, path, epochs: int) -> None:
    """Train some epochs and stop as a killed process would, the last one written."""
    training = fit(config, data, checkpoint=Checkpoint(path, every=0.0))
    for _ in range(epochs):
        next(training)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("after", [1, 3])
def test_goes_on_bit_for_bit(data, tmp_path, optimizer, after) -> None:
    config = SMALL.model_copy(update={"optimizer": optimizer, "lr": 1.0})
    engines, path = EnginePool(data), tmp_path / "new" / "trial-0.safetensors"
    whole = list(fit(config, data, engines))
    weights = engines.engine(config).snapshot()
    interrupted(config, data, path, after)
    others = EnginePool(data)
    resumed = list(fit(config, data, others, Checkpoint(path)))
    assert facts(resumed) == facts(whole)
    there = others.engine(config).snapshot()
    assert all(torch.equal(tensor, there[name]) for name, tensor in weights.items())


def test_what_was_done_is_not_done_again(data, tmp_path) -> None:
    path = tmp_path / "trial"
    interrupted(SMALL, data, path, 3)
    engines = EnginePool(data)
    training = fit(SMALL, data, engines, Checkpoint(path))
    engine = engines.engine(SMALL)
    for _ in range(3):
        next(training)
        assert int(engine._step) == 3 * engine.steps_per_epoch
    next(training)
    assert int(engine._step) == 4 * engine.steps_per_epoch


def test_patience_looks_at_the_epochs_before_the_interruption(data, tmp_path) -> None:
    config = SMALL.model_copy(update={"epochs": 30, "patience": 2})
    whole = list(fit(config, data))
    assert len(whole) < 30
    interrupted(config, data, tmp_path / "trial", len(whole) - 1)
    assert facts(fit(config, data, checkpoint=Checkpoint(tmp_path / "trial"))) == facts(whole)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory) -> tuple[bytes, list[dict]]:
    """The checkpoint of a training after two of its epochs, and all its records."""
    data, path = image_data(), tmp_path_factory.mktemp("halfway") / "trial"
    interrupted(SMALL, data, path, 2)
    return path.read_bytes(), facts(fit(SMALL, data))


@pytest.mark.parametrize("change", [{"seed": 1}, {"epochs": 5}, {"lr": 2.0}, None])
def test_another_training_begins_anew(data, halfway, tmp_path, change) -> None:
    path = tmp_path / "trial"
    path.write_bytes(halfway[0])
    config = SMALL.model_copy(update=change or {})
    images = data if change else image_data(seed=7)
    assert facts(fit(config, images, checkpoint=Checkpoint(path))) == facts(fit(config, images))


def test_a_file_from_before_a_setting_was_there_goes_on(data, halfway, tmp_path) -> None:
    content, whole = halfway
    path = tmp_path / "trial"
    key = b'\\"curriculum\\": \\"none\\", '
    size = int.from_bytes(content[:8], "little")
    assert key in content[: 8 + size]
    head = content[8 : 8 + size].replace(key, b"").ljust(size)
    path.write_bytes(content[:8] + head + content[8 + size :])
    checkpoint = Checkpoint(path)
    assert facts(fit(SMALL, data, checkpoint=checkpoint)) == whole
    assert checkpoint.resumed == 2


def truncated(path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def foreign(path) -> None:
    save_file({"state": torch.zeros(3)}, path)


def empty(path) -> None:
    path.write_bytes(b"")


def of_another_network(path) -> None:
    """Of the same config in another version, whose weights were not the same ones."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    head = content[8 : 8 + size].replace(b"head.weight", b"last.weight")
    assert head != content[8 : 8 + size]
    path.write_bytes(content[:8] + head + content[8 + size :])


@pytest.mark.parametrize("damage", [truncated, foreign, of_another_network, empty, os.remove])
def test_a_broken_file_is_none(data, halfway, tmp_path, damage) -> None:
    content, whole = halfway
    path = tmp_path / "trial"
    path.write_bytes(content)
    damage(path)
    assert facts(fit(SMALL, data, checkpoint=Checkpoint(path))) == whole


def test_is_written_now_and_then_only_and_on_demand(data, tmp_path) -> None:
    path = tmp_path / "trial"
    checkpoint = Checkpoint(path, every=3600.0)
    training = fit(SMALL, data, checkpoint=checkpoint)
    next(training)
    next(training)
    assert not path.exists()
    checkpoint.write()
    assert int(load_file(path)["epoch"]) == 2
    written = path.stat().st_mtime_ns
    checkpoint.write()  # Nothing has happened since.
    assert path.stat().st_mtime_ns == written
    # What a writer left that was killed in the middle.
    path.with_name("trial.12345.part").write_bytes(b"half")
    checkpoint.remove()
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


def test_slow_writes_are_put_off(data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: time.sleep(0.1))
    path = tmp_path / "trial"
    training = fit(SMALL, data, checkpoint=Checkpoint(path, every=1e-9))
    next(training)
    assert int(load_file(path)["epoch"]) == 1
    next(training)
    assert int(load_file(path)["epoch"]) == 1


def test_a_failed_write_leaves_the_old_file(data, tmp_path) -> None:
    path = tmp_path / "trial"
    interrupted(SMALL, data, path, 1)
    training = fit(SMALL, data, checkpoint=Checkpoint(path, every=0.0))
    next(training)
    beside = part_of(path)
    beside.mkdir()
    with pytest.raises(OSError, match="directory"):
        next(training)
    beside.rmdir()
    assert int(load_file(path)["epoch"]) == 1
