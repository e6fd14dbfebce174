"""The code on the model card says of a picture what `serve.predict` says."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from records.metrics import read_metrics
from search.export.card import describe
from serve.decode import decode
from tests.records.deep_pictures import deep_png
from tests.serve.conftest import SIDE, encoded
from tests.serve.odd_pictures import odd_pictures, scene, turned

GREY = np.asarray(scene(60, 40).convert("L")).astype(np.uint16)

SHAPES = odd_pictures() | {
    "wide": encoded(scene(300, 40)),
    "tall": encoded(scene(40, 300), "JPEG"),
    "one pixel high": encoded(scene(200, 1)),
    "one pixel wide": encoded(scene(1, 200)),
    "large": encoded(scene(1500, 1000), "JPEG"),
    "on its side": turned(6),
    "16 bits, dark": deep_png(GREY // 16 * 257),
    "16 bits": deep_png(GREY * 257),
    "12 bits": deep_png(GREY * 16),
}
# As the card says.
LEFT_OUT = {"16 bit colour, one transparent", "12 bits in 16, colour", "12 bits in 16"}


@pytest.fixture(scope="module")
def code(best) -> str:
    return code_of(best)


def code_of(folder: Path) -> str:
    text = (folder / "README.md").read_text()
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return block


# It leaves the file of an animation open, as short scripts do.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", sorted(set(SHAPES) - LEFT_OUT))
def test_the_card_s_code_sees_what_the_service_sees(
    best, model, code, tmp_path, monkeypatch, name
) -> None:
    shutil.copy(best / "model.onnx", tmp_path)
    (tmp_path / "picture.jpg").write_bytes(SHAPES[name])
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(code, "card", "exec"), found)
    expected = decode(SHAPES[name], SIDE)
    np.testing.assert_array_equal(np.asarray(found["picture"]), expected)
    (said,) = model.predict(expected[None])
    np.testing.assert_allclose(found["probabilities"][0], said.probabilities, atol=1e-6)


@pytest.mark.parametrize("fit", ["squash", "pad"])
@pytest.mark.parametrize("name", ["wide", "tall", "one pixel high", "large", "on its side"])
def test_the_card_s_code_makes_squares_as_the_training_does(
    best, tmp_path, monkeypatch, fit, name
) -> None:
    metrics = read_metrics(best)
    data = metrics.data.model_copy(update={"fit": fit})
    describe(tmp_path, metrics.model_copy(update={"data": data}))
    shutil.copy(best / "model.onnx", tmp_path)
    (tmp_path / "picture.jpg").write_bytes(SHAPES[name])
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(compile(code_of(tmp_path), "card", "exec"), found)
    expected = decode(SHAPES[name], SIDE, fit=fit)
    np.testing.assert_array_equal(np.asarray(found["picture"]), expected)
    assert (expected != decode(SHAPES[name], SIDE)).any()


def test_the_card_s_code_needs_only_what_its_user_has(code) -> None:
    names = re.findall(r"^(?:import|from) (.*)", code, re.MULTILINE)
    assert names == ["numpy as np, onnxruntime", "PIL import Image, ImageOps"]
