"""The service shows a model the pixels that the training showed it, whatever the file."""

import numpy as np
import pytest
import torch

from serve.decode import UnreadablePicture
from serve.decode import decode as served
from tests.serve.conftest import SIDE
from tests.serve.odd_pictures import large_pictures, odd_pictures
from train_core.data.decode import decode as trained
from train_core.model import load_model, probabilities

PICTURES = odd_pictures() | large_pictures()

NOT_PICTURES = {
    "nothing": b"",
    "text": b"not an image",
    "GIF": b"GIF89a" + bytes(40),
    "damaged PNG": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "cut off": PICTURES["JPEG"][:400],
    "cut off PNG": PICTURES["alpha"][:-80],
    "cut off WebP": PICTURES["WebP"][:-40],
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("side", [16, 48])
def test_pixels_are_the_same(tmp_path, name, side) -> None:
    path = tmp_path / "picture"
    path.write_bytes(PICTURES[name])
    expected = trained(path, side)
    np.testing.assert_array_equal(served(path, side), expected)
    np.testing.assert_array_equal(served(PICTURES[name], side), expected)


def test_predictions_are_the_same(best, model, tmp_path) -> None:
    """From the file to the probabilities, by torch and by ONNX Runtime."""
    path, network = tmp_path / "picture", load_model(best / "model.safetensors")
    for name, content in PICTURES.items():
        path.write_bytes(content)
        images = torch.from_numpy(trained(path, SIDE).copy())[None]
        expected = probabilities(network.network, images, network.normalisation).numpy()
        (got,) = model.predict(served(content, SIDE)[None])
        np.testing.assert_allclose(got.probabilities, expected[0], atol=1e-4, err_msg=name)


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_the_same_files_are_refused(tmp_path, name) -> None:
    path = tmp_path / "picture"
    path.write_bytes(NOT_PICTURES[name])
    with pytest.raises(OSError, match="."):
        trained(path, SIDE)
    with pytest.raises(UnreadablePicture, match="."):
        served(path, SIDE)
