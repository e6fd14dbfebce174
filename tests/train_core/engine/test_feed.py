"""Trainings on images that are not on the device give the same numbers as on those that are."""

import math
import sys

import numpy as np
import psutil
import pytest
import torch

from tests.conftest import CPU, SIDE, stripes
from train_core.config import TrainConfig
from train_core.data import Content
from train_core.data.stored import ImageFile, ImageRows, array_files, write_part
from train_core.engine import EnginePool
from train_core.fit import fit, measure_speed
from train_core.images import ImageData, Part
from train_core.model import embeddings, probabilities

CONFIG = TrainConfig(width=4, depth=1, batch_size=32, epochs=3, seed=5, precision="fp32")


@pytest.fixture
def data_in(tmp_path):
    """Make the same images at different places."""

    def make(place: str, train: int = 96) -> ImageData:
        parts = []
        for name, count in (("train", train), ("test", 30)):
            images, labels = stripes(count)
            write_part(tmp_path, name, Content(images, labels))
            rows = ImageRows(ImageFile.in_cache(array_files(tmp_path, name)[0]))
            parts.append(Part.placed(rows, labels, CPU, place))
        return ImageData(*parts, ("a", "b", "c"), mirror=True)

    return make


def numbers(config: TrainConfig, data: ImageData) -> list[object]:
    """All that a training says but the times, and the weights that it ends with."""
    engines = EnginePool(data)
    records = [record.model_copy(update={"seconds": 0.0}) for record in fit(config, data, engines)]
    return [records, *engines.engine(config).snapshot().values()]


@pytest.mark.parametrize("place", ["host", "cache"])
@pytest.mark.parametrize("train", [96, 110, 20])  # Whole batches, a rest, and too few for one.
def test_a_training_is_the_same_wherever_its_images_are(data_in, place, train) -> None:
    expected = numbers(CONFIG, data_in("device", train))
    found = numbers(CONFIG, data_in(place, train))
    assert found[0] == expected[0]
    assert all(map(torch.equal, found[1:], expected[1:]))


@pytest.mark.parametrize("place", ["host", "cache"])
def test_everything_else_goes_through_them_too(data_in, place) -> None:
    data, other = data_in("device"), data_in(place)
    assert (other.side, other.device, len(other.train)) == (SIDE, CPU, 96)
    assert torch.equal(other.filters, data.filters)
    assert torch.equal(other.normalisation.mean, data.normalisation.mean)
    engines = EnginePool(data)
    list(fit(CONFIG, data, engines))
    network, norm = engines.engine(CONFIG).average, data.normalisation
    for one in (probabilities, embeddings):
        mine = one(network, other.validation.subsample(11).images, norm)
        assert torch.equal(mine, one(network, data.validation.subsample(11).images, norm))
    rows = [5, 90, 6]
    assert torch.equal(other.train.images[rows], data.train.images[rows])
    assert torch.equal(other.train.images[torch.tensor(rows)], data.train.images[rows])


def test_after_the_last_batch_comes_the_first_one_again(data_in) -> None:
    found = []
    for place in ("device", "cache"):
        data = data_in(place)
        engine = EnginePool(data).engine(CONFIG)
        engine.start(CONFIG)
        engine.shuffle()
        engine.run_steps(2)
        engine.run_steps(5)
        found.append(engine.snapshot()["state"])
    assert torch.equal(*found)


def test_the_speed_can_be_measured(data_in) -> None:
    assert measure_speed(CONFIG, EnginePool(data_in("cache")), seconds=0.0) > 0


def test_a_file_that_cannot_be_read_ends_the_training(data_in, tmp_path) -> None:
    data = data_in("cache")
    _ = data.normalisation, data.filters
    with array_files(tmp_path, "train")[0].open("r+b") as file:
        file.truncate(20_000)
    with pytest.raises(OSError, match="must be whole"):
        list(fit(CONFIG, data))


@pytest.fixture
def little_address_space():
    """Leaves this process 500 MB more than it has: every thread reserves some tens of them."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_AS)
    if not sys.platform.startswith("linux") or before[0] != resource.RLIM_INFINITY:
        pytest.skip("sets a limit that only Linux keeps to")
    most = psutil.Process().memory_info().vms + 500_000_000
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def many(tmp_path) -> ImageRows:
    """Black images, 614 MB, in a file that has holes and takes no room."""
    shape = (50_000, 64, 64, 3)
    with (tmp_path / "many.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        file.truncate(file.tell() + math.prod(shape))
    return ImageRows(ImageFile.in_cache(tmp_path / "many.npy"))


@pytest.mark.slow
@pytest.mark.usefixtures("little_address_space")
def test_more_images_than_there_is_room_for_are_trained_on(many) -> None:
    labels = np.arange(len(many)) % 3
    # Whether an array has room cannot be told: what was freed before stays with the process.
    with pytest.raises(OSError, match="Cannot allocate"):
        np.memmap(many._images._file.name, mode="r")
    part = Part.placed(many, labels, CPU, "cache")
    engine = EnginePool(ImageData(part, None, ("a", "b", "c"), mirror=True)).engine(CONFIG)
    engine.start(CONFIG)
    engine.shuffle()
    engine.run_steps(4)
    assert len(part.subsample(5000)) == 5000
    assert torch.isfinite(engine.snapshot()["state"]).all()
