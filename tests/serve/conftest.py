"""A model that a tiny real search exported, with what its confirmations said."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import psutil
import pytest
import torch

from search.export.activation import map_size
from search.export.onnx import export_onnx
from search.finalize.confirm import Confirm, confirmation_config
from search.finalize.final import Finalize
from serve.model import Model
from serve.web.app import create_app
from tests.conftest import stripes, write_images, write_pictures
from tests.search.conftest import FACTS, begun, new_worker, plan_in, run_task, winner
from tests.search.corners import corners, learned
from tests.search.processes import TINY
from tests.serve.odd_pictures import encoded

SIDE = 16

__all__ = ["encoded"]


@pytest.fixture(scope="session")
def best(tmp_path_factory) -> Path:
    """The `best/` folder."""
    root = tmp_path_factory.mktemp("served")
    write_pictures(root / "pictures")
    plan = begun(plan_in(root, training={**TINY["training"], "epochs": 30, "lr": 16.0}))
    found = winner(plan)
    for seed in range(2):
        config = confirmation_config(plan, found.trial, seed)
        run_task(Confirm(plan, found.trial.number, seed, config), new_worker())
    run_task(Finalize(plan, found, FACTS, root / "best"), new_worker())
    return root / "best"


@pytest.fixture(scope="session")
def model(best) -> Model:
    return Model(best)


@pytest.fixture(scope="session")
def explained(best, tmp_path_factory) -> Path:
    """The `best/` folder of a model that can show where it looks, at marks in corners."""
    folder = tmp_path_factory.mktemp("explained")
    model = learned("convnet", folder / "model.safetensors")
    images = torch.from_numpy(corners(20)[0])
    export_onnx(folder / "model.onnx", model, images)
    metrics = json.loads((best / "metrics.json").read_text())
    side = model.image_size
    metrics["data"] |= {"classes": list(model.classes), "image_size": side, "crop_size": side}
    metrics["maps"] = map_size(model, images)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    return folder


@pytest.fixture(scope="session")
def collection(tmp_path_factory) -> Path:
    """A folder of 30 pictures."""
    root = tmp_path_factory.mktemp("collection") / "album"
    write_images(root, 30, seed=3)
    return root


@pytest.fixture(scope="session")
def index(collection, best) -> Path:
    """Its index."""
    from serve.index import index_for, update

    path, model = collection.parent / "album.index", Model(best)
    update(index_for(path, model, collection), model, collection)
    return path


@pytest.fixture
def other(best, tmp_path) -> Path:
    """Another model: the same network with a file that differs."""
    import onnx

    folder = tmp_path / "other"
    shutil.copytree(best, folder)
    loaded = onnx.load(folder / "model.onnx")
    loaded.doc_string = "another"
    onnx.save(loaded, folder / "model.onnx")
    return folder


@pytest.fixture(scope="session")
def client(best, index):
    """The service without a socket."""
    return create_app(best, index=index).test_client()


def stripe(label: int = 0, seed: int = 50) -> np.ndarray:
    """One picture of a class that the model knows."""
    return stripes(3, seed)[0][label]


class Service:
    """The service as a process of its own."""

    def __init__(
        self, *words: object, env: dict[str, str] | None = None, code: str = "pass"
    ) -> None:
        """Start it on a port that is free; `code` runs first in its process."""
        start = f"import runpy\n{code}\nrunpy.run_module('serve.run', run_name='__main__')"
        command = [sys.executable, "-W", "error", "-c", start, "--port", "0", *map(str, words)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})},
        )  # fmt: skip
        self.said = self._line()
        if not self.said.startswith("waiting"):
            self.url = self.said.split(" on ")[1].split()[0].rstrip("/")

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self.process.communicate()[1])
        return line

    def waited(self) -> None:
        """Return when it has what it waited for."""
        self.url = self._line().split(" on ")[1].split()[0].rstrip("/")

    def get(self, path: str) -> bytes:
        with urlopen(self.url + path, timeout=30) as response:
            return response.read()

    @property
    def address(self) -> tuple[str, int]:
        found = urlsplit(self.url)
        return str(found.hostname), int(found.port or 80)

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        self.process.terminate()
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def stop(self) -> tuple[int, str]:
        """End it as a container would; its exit code and what it said."""
        self.process.terminate()
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors


@pytest.fixture
def start():
    """Starts services, and ends those that are left."""
    started: list[Service] = []

    def begin(*words: object, **options) -> Service:
        started.append(Service(*words, **options))
        return started[-1]

    yield begin
    for service in started:
        service.kill()


@pytest.fixture(scope="module")
def served(best, index):
    """A service that all tests of a module ask."""
    service = Service("--model", best, "--index", index)
    yield service
    service.kill()


def wait_until(condition, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)
