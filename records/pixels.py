"""From a picture of any kind to the `(side, side, 3)` uint8 pixels that a network is shown.

The training and the service both go through here: a model must be shown the pixels that it was
trained on. These steps are part of the export's format 1, so they must never change.
"""

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")  # What Pillow calls the formats that are read.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def square_pixels(image: Image.Image, side: int) -> np.ndarray:
    """`(side, side, 3)` uint8 from an opened file: upright, RGB on white, its centre square."""
    return fit_square(upright_rgb(image, side), side)


def upright_rgb(image: Image.Image, side: int) -> Image.Image:
    """The whole picture, upright and as RGB on white, decoded no larger than `side` needs."""
    # Lets the JPEG decoder work at a fraction of the size of a large photo.
    image.draft("RGB", (2 * side, 2 * side))
    return _to_rgb(ImageOps.exif_transpose(image))


def fit_square(image: Image.Image, side: int) -> np.ndarray:
    """`(side, side, 3)` uint8 from an RGB image: its centre square, bicubic."""
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    """To 8-bit RGB: 16-bit grey keeps its brightness, transparency shows white."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert("RGB")
