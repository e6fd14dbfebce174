"""From a picture of any kind to the `(side, side, 3)` uint8 pixels that a network is shown.

The training and the service both go through here: a model must be shown the pixels that it was
trained on. These steps are part of the export's format 1, so they must never change.
"""

from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# HEIC needs a plug-in: `pip install 'convsearch[heic]'`.
with suppress(ImportError):
    import_module("pillow_heif").register_heif_opener()

_HEIC = ("HEIF",) if "HEIF" in Image.OPEN else ()

FORMATS = (
    "JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", *_HEIC, "AVIF", "JPEG2000", "DIB", "PPM",
    "ICO", "ICNS", "PCX", "SGI", "PSD", "QOI", "DDS", "BLP", "SUN", "MSP", "XBM", "XPM", "IM",
    "TGA",
)  # fmt: skip
"""What Pillow calls the formats that are read: pictures, and nothing that starts a program, as
EPS does. Those that know their files by the first bytes come first."""

_SUFFIXES = """
    .apng .avif .avifs .blp .bmp .bw .dds .dib .gif .icb .icns .ico .im .j2c .j2k .jfif .jp2 .jpc
    .jpe .jpeg .jpf .jpg .jpx .mpo .msp .pbm .pcx .pfm .pgm .png .pnm .ppm .psd .qoi .ras .rgb
    .rgba .sgi .tga .tif .tiff .vda .vst .webp .xbm .xpm
"""
_HEIC_SUFFIXES = ".heic .heics .heif .heifs .hif" if _HEIC else ""

SUFFIXES = frozenset(f"{_SUFFIXES} {_HEIC_SUFFIXES}".split())
"""How the names of their files end, in lower case."""


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


def is_picture(path: Path) -> bool:
    """Whether its suffix is one of a format that is read."""
    return path.suffix.lower() in SUFFIXES
