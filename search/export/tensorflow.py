"""A trained model as a TensorFlow SavedModel, made of its ONNX file by onnx2tf.

TensorFlow works in a process of its own: it talks a lot, and must share no libraries with torch.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

_NEEDED = ("tensorflow", "tf_keras", "onnx2tf")


class ConversionFailed(Exception):
    """The converter could not do its work."""


def require_tensorflow() -> None:
    """Raise ValueError, in one sentence that says what to install, without the libraries."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(
            f"the format tensorflow needs {', '.join(_NEEDED)}, but not installed: "
            f"{', '.join(missing)}; pip install -c constraints.txt '.[tensorflow]'"
        )


def write_tensorflow(folder: Path, onnx: Path) -> None:
    """Write a SavedModel; its signature `serving_default` takes and gives what the ONNX file does.

    Raises:
        ConversionFailed: With the converter's last line.
    """
    # Imports torch, which the other process must not.
    from search.export.onnx import write_without_maps

    with tempfile.TemporaryDirectory() as scratch:
        # The converter writes into the file that it reads.
        copy = Path(scratch, "model.onnx")
        write_without_maps(copy, onnx)
        _in_child("convert", copy, folder.absolute())


def run_tensorflow(folder: Path, images: np.ndarray) -> np.ndarray:
    """Probabilities `(N, classes)` of `(N, side, side, 3)` uint8 images, by TensorFlow.

    Raises:
        ConversionFailed: TensorFlow cannot load or run it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        shown, predicted = Path(scratch, "images.npy"), Path(scratch, "probabilities.npy")
        np.save(shown, images)
        _in_child("run", folder.absolute(), shown, predicted)
        return np.asarray(np.load(predicted))


def _in_child(*arguments: str | Path) -> None:
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""}
    # The converter leaves files where it runs.
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            # -P: modules beside this file must not be taken for those of TensorFlow.
            [sys.executable, "-P", __file__, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            cwd=elsewhere,
            env={**os.environ, **quiet},
        )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no reason given").splitlines()[-1]
        raise ConversionFailed(f"onnx2tf and TensorFlow cannot {arguments[0]} this model: {last}")


def _convert(onnx: str, folder: str) -> None:
    import onnx2tf

    onnx2tf.convert(
        input_onnx_file_path=onnx,
        output_folder_path=folder,
        # Images stay as they are: the network's own first step puts channels first.
        keep_nwc_or_nhwc_or_ndhwc_input_names=["images"],
        non_verbose=True,
    )
    # Files of another format, which nobody has asked for and nothing has checked.
    for path in Path(folder).glob("*.tflite"):
        path.unlink()


def _run(folder: str, images: str, probabilities: str) -> None:
    from tensorflow import constant, saved_model

    network: Any = saved_model.load(folder).signatures["serving_default"]
    predicted = network(images=constant(np.load(images)))
    np.save(probabilities, predicted["probabilities"].numpy())


if __name__ == "__main__":
    tasks: dict[str, Callable[..., None]] = {"convert": _convert, "run": _run}
    tasks[sys.argv[1]](*sys.argv[2:])
