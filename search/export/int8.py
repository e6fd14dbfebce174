"""A trained model as an ONNX file of 8-bit integers, for small devices, and what that costs.

Calibrated on training images, and measured on the validation images of the search. The test
images stay closed: evaluations on them are counted. The exported model was trained on the
validation images too, so that its accuracy on them says nothing; the difference does.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from records.metrics import exported
from search.export.onnx import ExportMismatch, run_onnx, write_without_maps
from train_core.data.prepare import image_rows, load_labels, prepare
from train_core.data.split import stratified_subset
from train_core.recipes import load_run_config

# Accuracy that may be lost; more is no rounding, but a range that was badly chosen.
MOST_LOST = 0.05
_CALIBRATED, _AT_ONCE = 512, 64


@dataclass(frozen=True)
class Quantisation:
    """The images that it takes to make an 8-bit file, and to tell what that costs."""

    calibration: np.ndarray  # `(N, side, side, 3)` uint8, training images not validated on.
    images: np.ndarray  # `(M, side, side, 3)` uint8, the validation images.
    labels: np.ndarray  # `(M,)` int64.

    def cost(self, plain: Path, small: Path) -> str:
        """What the 8-bit file gets wrong that the float32 file gets right, in words.

        Raises:
            ExportMismatch: It is more than `MOST_LOST`.
        """
        before, after = (run_onnx(p, self.images)[0].argmax(1) for p in (plain, small))
        was, now = before == self.labels, after == self.labels
        lost = float(was.mean() - now.mean())
        if lost > MOST_LOST:
            raise ExportMismatch(
                f"8 bits may cost {MOST_LOST:.0%} accuracy, but cost {lost:.2%} on "
                f"{len(was)} validation images: keep model.onnx"
            )
        worse, better = int((was & ~now).sum()), int((now & ~was).sum())
        return (
            f"accuracy on {len(was)} validation images: {now.mean():.2%} with 8 bits, "
            f"{was.mean():.2%} without, {-lost * 100:+.2f} points ({worse} right ones "
            f"became wrong, {better} wrong ones right); the model was trained on these images, so "
            f"only the difference counts"
        )


def quantisation(folder: Path) -> Quantisation:
    """The images for a `best/` folder, from the cache of decoded images.

    Raises:
        ValueError: In one sentence, if they are not there or are not those of the training.
    """
    config = load_run_config(str(folder / "config.toml")).data.model_copy(update={"content": None})
    prepared, metrics = prepare(config), exported(folder)
    if metrics is None or metrics.data.train.sha256 != prepared.train.sha256:
        raise ValueError(
            f"8 bits are calibrated on the images of the training, but those of "
            f"'{config.dataset}' have changed since '{folder}' was exported: search again"
        )
    images, labels = image_rows(prepared, "train"), load_labels(prepared, "train")
    rows = prepared.rows(config.model_copy(update={"train_on_validation": False}))
    classes = len(prepared.classes)
    size = min(max(_CALIBRATED, classes), len(rows.train))
    chosen = rows.train[stratified_subset(labels[rows.train], size, seed=0)]
    return Quantisation(images.take(chosen), images.take(rows.validation), labels[rows.validation])


def write_int8(path: Path, plain: Path, task: Quantisation) -> None:
    """Write the convolutions and the last layer of an ONNX file with 8-bit weights and inputs."""
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    # It logs on the root logger, and what it warns of is its own business.
    logging.getLogger().setLevel(logging.ERROR)
    without, inferred = path.with_suffix(".without"), path.with_suffix(".inferred")
    write_without_maps(without, plain)
    quant_pre_process(without, inferred)
    quantize_static(
        inferred,
        path,
        _Batches(task.calibration),
        quant_format=QuantFormat.QDQ,
        # With what cuts their results off: else levels are spent on what is thrown away, and
        # probabilities of an EfficientNet-Lite (ReLU6) were off by 0.047 instead of 0.025 on
        # average.
        op_types_to_quantize=["Conv", "Gemm", "MatMul", "Clip", "Relu"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_resampling(inferred),
        # Weights of 7 bits: sums of two products must fit 16 bits on processors without VNNI,
        # where a network with weights of 8 bits was seen to lose 55 points of accuracy.
        reduce_range=True,
    )


def _resampling(path: Path) -> list[str]:
    """The products that bring images to another size: 8 bits would blur them for nothing."""
    import onnx

    nodes = onnx.load(path).graph.node
    made = {name for node in nodes for name in node.input if name == "matrix"}
    return [node.name for node in nodes if made & {*node.input}]


class _Batches:
    """A `CalibrationDataReader`, as ONNX Runtime calls one."""

    def __init__(self, images: np.ndarray) -> None:
        self._batches: Iterator[np.ndarray] = iter(
            images[i : i + _AT_ONCE] for i in range(0, len(images), _AT_ONCE)
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"images": batch}
