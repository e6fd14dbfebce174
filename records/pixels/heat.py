"""Where a model looks: class-activation maps, out of `model.onnx` and onto pictures.

After Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. `model.onnx`
computes them as `activation`, `(batch, classes, h, w)` float32, whose mean over the places is the
logits. It is not among the file's outputs: whoever runs a model for all of its outputs gets
probabilities and embedding, as ever.
"""

from io import BytesIO

import numpy as np
from PIL import Image

ACTIVATION = "activation"

# Differences, in logits, that are too small to mean anything.
_FLAT = 1e-3
_SMALLEST = 224  # Pixels of an overlay's side, for pictures that are smaller.
_HEAT = 0.55  # Share of the heat in a pixel's colour; the rest is the picture, in grey.
# Viridis (van der Walt and Smith, 2015): it gets brighter evenly, for any colour vision.
_VIRIDIS = bytes.fromhex(
    "440154 482475 414487 355f8d 2a788e 21918c 22a884 44bf70 7ad151 bddf26 fde725"
)
_STOPS = np.frombuffer(_VIRIDIS, np.uint8).reshape(-1, 3)
_LEVELS = np.linspace(0, len(_STOPS) - 1, 256)
_COLOURS = np.stack([np.interp(_LEVELS, range(len(_STOPS)), stop) for stop in _STOPS.T], axis=1)


def with_activation(model: bytes) -> bytes:
    """The content of `model.onnx`, which computes maps, with `activation` as its third output.

    Messages of protocol buffers that are written one after the other are read as one, their lists
    joined: this one is a model with a graph with an output of that name.
    """
    message = ACTIVATION.encode()
    for field in (1, 12, 7):  # Name of a value, output of a graph, graph of a model.
        message = bytes([field << 3 | 2, len(message)]) + message
    return model + message


def heat(activation: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What speaks for a class at each place, against the mean of all classes.

    What is added to all classes alike changes no probability, so it is taken off.

    Args:
        activation: `(N, classes, h, w)`, what each place adds to the logits.
        labels: `(N,)` int, the class of each picture that is asked about.

    Returns:
        `(N, h, w)` float32: 0 where least of a picture speaks for the class, 1 where most does;
        0 everywhere if no place differs from the others.
    """
    centred = activation - activation.mean(1, keepdims=True)
    own = centred[np.arange(len(labels)), labels]
    low, high = own.min((1, 2), keepdims=True), own.max((1, 2), keepdims=True)
    spread = high - low
    shares = np.where(spread < _FLAT, 0.0, (own - low) / np.maximum(spread, _FLAT))
    return np.asarray(shares, dtype=np.float32)


def overlay(pixels: np.ndarray, heat: np.ndarray, crop: float = 1.0) -> np.ndarray:
    """A picture in grey under its heat, from dark blue (0) by green to yellow (1).

    Args:
        pixels: `(side, side, 3)` uint8, as the model takes it.
        heat: `(h, w)` in [0, 1].
        crop: Side of the centre that the model looks at, as a share of the picture's; what lies
            around it stays grey.

    Returns:
        `(S, S, 3)` uint8, S a multiple of the side and at least 224.
    """
    side = len(pixels) * max(1, -(-_SMALLEST // len(pixels)))
    grey = Image.fromarray(pixels).convert("L").resize((side, side), Image.Resampling.NEAREST)
    shown = np.repeat(np.asarray(grey, dtype=np.float32)[:, :, None], 3, axis=2)
    inner = max(1, round(side * crop))
    field = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    field = field.resize((inner, inner), Image.Resampling.BILINEAR)
    levels = np.rint(255 * np.asarray(field).clip(0, 1)).astype(np.intp)
    first = (side - inner) // 2
    seen = shown[first : first + inner, first : first + inner]
    seen[:] = (1 - _HEAT) * seen + _HEAT * _COLOURS[levels]
    return np.rint(shown).astype(np.uint8)


def overlay_jpeg(pixels: np.ndarray, heat: np.ndarray, crop: float = 1.0) -> bytes:
    """The same as a JPEG file."""
    written = BytesIO()
    Image.fromarray(overlay(pixels, heat, crop)).save(written, "JPEG", quality=90)
    return written.getvalue()
