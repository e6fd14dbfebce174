"""Pictures that are kept with a margin, seen in the middle and at another size, to the end."""

import re

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from records.metrics import read_metrics
from search.export.formats import export_of
from search.export.int8 import _resampling
from search.export.onnx import run_onnx
from search.finalize.final import Finalize
from search.plan.before import as_before
from serve.decode import decode
from serve.model import Model
from tests.conftest import stripes
from tests.search.conftest import FACTS, begun, new_worker, plan_in, run_task, winner
from tests.search.processes import TINY
from train_core.data.prepare import load_part
from train_core.images.view import View
from train_core.model import load_model, probabilities
from train_core.recipes import load_run_config

pytestmark = pytest.mark.slow


def write(root, count: int, seed: int) -> None:
    """Stripes as photographs are: wide, and large."""
    for number, (image, label) in enumerate(zip(*stripes(count, seed), strict=True)):
        folder = root / "abc"[label]
        folder.mkdir(parents=True, exist_ok=True)
        large = Image.fromarray(image).resize((150, 120), Image.Resampling.BICUBIC)
        large.save(folder / f"{number:03d}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plan with its `best/`: pictures kept at 110, seen at 96, worked on at 32; with borders."""
    root = tmp_path_factory.mktemp("large")
    write(root / "pictures" / "train", 60, 0)
    write(root / "pictures" / "test", 15, 9)
    data = {"dataset": str(root / "pictures"), "root": str(root / "data"), "image_size": 96}
    training = {**TINY["training"], "epochs": 8, "lr": 16.0, "resolution": 32}
    plan = begun(plan_in(root, data=data, training=training))
    run_task(Finalize(plan, winner(plan), FACTS, plan.folder / "best"), new_worker())
    return plan


def test_what_is_written_says_the_sizes(made) -> None:
    best = made.folder / "best"
    metrics = read_metrics(best)
    assert (metrics.data.image_size, metrics.data.crop_size, metrics.data.fit) == (110, 96, "crop")
    assert metrics.training["resolution"] == 32
    assert load_run_config(str(best / "config.toml")).data.image_size == 96
    assert made.settings()["data"]["image_size"] == 96
    card = (best / "README.md").read_text()
    assert "`(batch, 110, 110, 3)`" in card
    assert "looks at the 96x96 pixels in the middle of its input, made 32x32." in card
    assert load_model(best / "model.safetensors").normalisation.view == View(110, 96, 32)
    with np.load(best / "evaluation.npz") as held:
        assert held["pictures"].shape[1:] == (96, 96, 3)
        assert held["augmented"].shape[2:] == (32, 32, 3)
        assert len(held["heat"]) == held["wrong_count"] > 0


def test_the_export_sees_what_the_training_saw(made) -> None:
    best = made.folder / "best"
    images = np.array(load_part(made.data, "test").images)
    model = load_model(best / "model.safetensors")
    expected = probabilities(model.network, torch.from_numpy(images), model.normalisation).numpy()
    np.testing.assert_allclose(run_onnx(best / "model.onnx", images)[0], expected, atol=1e-4)
    edges = images.copy()
    edges[:, :3] = edges[:, -3:] = edges[:, :, :3] = 0  # The margin is not looked at.
    np.testing.assert_allclose(run_onnx(best / "model.onnx", edges)[0], expected, atol=1e-4)
    served = Model(best)
    path = made.data.paths("test")[0]
    pixels = decode(made.folder.parent.parent / "pictures" / path, served.side)
    (said,) = served.predict(pixels[None])
    np.testing.assert_allclose(said.probabilities, expected[0], atol=1e-4)


@pytest.mark.parametrize("name", ["torch", "int8"])
def test_other_formats_have_it_too(made, name) -> None:
    lines = export_of(made.folder / "best", name).write()
    assert re.search(r"against PyTorch on \d+ test images", " ".join(lines))


def test_8_bits_leave_the_resampling_alone(made) -> None:
    path = made.folder / "best" / "model.onnx"
    assert len(_resampling(path)) == 2
    export_of(path.parent, "int8").write()
    small = onnx.load(path.with_name("model.int8.onnx")).graph
    kept = {node.name: node for node in small.node}
    for name in _resampling(path):
        assert "matrix" in kept[name].input


def test_a_study_goes_on_at_its_own_size(made) -> None:
    free = made.config.model_copy(
        update={"data": made.config.data.model_copy(update={"image_size": None})}
    )
    usual = made.model_copy(update={"data": made.data.model_copy(update={"crop_size": 224})})
    assert as_before(free, usual, "cpu").data.image_size == 96
    assert as_before(made.config, usual, "cpu") == made.config
    new = usual.model_copy(
        update={"config": usual.config.model_copy(
            update={"study": usual.config.study.model_copy(update={"name": "new"})}
        )}
    )  # fmt: skip
    assert as_before(free, new, "cpu") == free
