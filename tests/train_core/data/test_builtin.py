"""The download path, with small archives of the real format from a server on this machine."""

import functools
import hashlib
import http.server
import json
import pickle
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from tests.train_core.data.at_once import prepared_at_once
from train_core.data.builtin import BUILTIN, CLASSES, read_part
from train_core.data.config import DataConfig
from train_core.data.prepare import find_source


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    handler = functools.partial(_Quiet, directory=str(folder))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        with (Path(self.directory) / "requests.log").open("a") as log:
            log.write(format % args + "\n")


def small_cifar(folder, url: str) -> type[datasets.CIFAR10]:
    """An archive as CIFAR-10's, of 20 training and 4 test images, and the class that loads it."""
    random = np.random.default_rng(0)
    names = {"data_batch_1": 10, "data_batch_2": 10, "test_batch": 4}
    batches = folder.parent / "cifar-10-batches-py"
    batches.mkdir()
    for name, count in names.items():
        rows = random.integers(0, 256, (count, 3072), dtype=np.uint8)
        labels = [i % 10 for i in range(count)]
        (batches / name).write_bytes(pickle.dumps({"data": rows, "labels": labels}))
    meta = batches / "batches.meta"
    meta.write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(batches, "cifar-10-batches-py")

    def md5(path) -> str:
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()

    class Small(datasets.CIFAR10):
        pass

    Small.url = f"{url}/cifar-10-python.tar.gz"
    Small.tgz_md5 = md5(folder / "cifar-10-python.tar.gz")
    Small.train_list = [[n, md5(batches / n)] for n in names if n.startswith("data")]
    Small.test_list = [["test_batch", md5(batches / "test_batch")]]
    Small.meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(meta)}
    return Small


def test_downloads_once_and_then_uses_what_is_there(server, tmp_path) -> None:
    folder, url = server
    small = small_cifar(folder, url)
    config = DataConfig(root=str(tmp_path / "data"))
    train = read_part(small, "cifar-10-python.tar.gz", config, "train")
    assert train.images.shape == (20, 32, 32, 3)
    assert train.labels.tolist() == [*range(10), *range(10)]
    (folder / "cifar-10-python.tar.gz").unlink()
    test = read_part(small, "cifar-10-python.tar.gz", config, "test")
    assert test.images.shape == (4, 32, 32, 3)


@pytest.mark.slow
def test_two_processes_at_once_download_once(server, tmp_path) -> None:
    folder, url = server
    small = small_cifar(folder, url)
    read_part(small, "archive", DataConfig(root=str(tmp_path / "first")), "train")
    alone = (folder / "requests.log").read_text()
    names = ("url", "tgz_md5", "train_list", "test_list", "meta")
    changes = json.dumps({name: getattr(small, name) for name in names})
    setup = """
from torchvision import datasets
for name, value in json.loads(sys.argv[2]).items():
    setattr(datasets.CIFAR10, name, value)
"""
    one, other = prepared_at_once(DataConfig(root=str(tmp_path / "data")), setup, changes)
    assert one == other
    assert (folder / "requests.log").read_text() == 2 * alone


def test_an_archive_that_was_put_there_is_used(server, tmp_path) -> None:
    folder, url = server
    small = small_cifar(folder, url)
    (tmp_path / "data").mkdir()
    (folder / "cifar-10-python.tar.gz").rename(tmp_path / "data" / "cifar-10-python.tar.gz")
    config = DataConfig(root=str(tmp_path / "data"), image_size=16)
    arrays = read_part(small, "cifar-10-python.tar.gz", config, "train")
    assert arrays.images.shape == (20, 16, 16, 3)


def test_a_damaged_archive_is_refused(server, tmp_path) -> None:
    folder, url = server
    small = small_cifar(folder, url)
    with (folder / "cifar-10-python.tar.gz").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ValueError, match="could not be downloaded.*corrupted"):
        read_part(small, "archive", DataConfig(root=str(tmp_path / "data")), "train")


def test_no_network_is_one_sentence_with_the_ways_on(server, tmp_path) -> None:
    folder, url = server
    small = small_cifar(folder, url)
    small.url = "http://127.0.0.1:9/cifar-10-python.tar.gz"  # Nobody listens on discard.
    config = DataConfig(root=str(tmp_path / "data"))
    with pytest.raises(ValueError, match="could not be downloaded") as error:
        read_part(small, "cifar-10-python.tar.gz", config, "train")
    message = str(error.value)
    for way in (
        "data/cifar-10-python.tar.gz there yourself",
        "--dataset FOLDER",
        "--dataset digits",
    ):
        assert way in message
    assert "\n" not in message


@pytest.mark.parametrize("name", BUILTIN)
def test_every_source_says_what_it_is(name) -> None:
    source = find_source(DataConfig(dataset=name))
    assert source.name == name
    assert len(source.classes) in (10, 100)
    assert source.mirror == (name != "digits")


def test_cifar100_classes_are_in_the_order_of_the_labels() -> None:
    names = CLASSES["CIFAR100"].split()
    assert names == sorted(names)
    assert len(names) == 100
