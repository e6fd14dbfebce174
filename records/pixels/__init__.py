"""From a picture of any kind to the `(side, side, 3)` uint8 pixels that a network is shown.

The training and the service both go through here: a model must be shown the pixels that it was
trained on. These steps are part of the export's format 1, so what they make of pictures with 8
bits per channel must never change.
"""

import os
import sys
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFile, ImageOps, PngImagePlugin

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

Fit = Literal["crop", "squash", "pad"]
"""How a picture becomes a square: by its centre (`crop`), by changing its proportions (`squash`),
or whole (`pad`), with the mean colour of its own border beside it: a frame in any other colour
would be an edge that is not in the picture."""

SMALL = 64
"""Largest side in pixels of pictures that are small: all of them is shown, at any time."""

THUMBNAIL = 96
"""Largest side in pixels of pictures that are kept for reports."""

# A single text in a PNG may be as long as Pillow lets all of them together be (64 MiB): programs
# that make pictures write megabytes into them.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY

_FULL = 65_535  # The highest level of 16 bits.
_DEPTHS = (8, 10, 12, 14, 16, 24, 32)  # Bits per channel that cameras and instruments give.
_BITS, _MAX_SAMPLE = 258, 281  # Tags of TIFF.
# From the order of bytes in which Pillow takes the upper one to that in which it takes the lower.
_OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def stored_side(side: int, fit: Fit) -> int:
    """Side of the squares that are kept for networks that see `side` pixels of them at most.

    Larger pictures keep a margin of a fourteenth around what is seen, which random crops need
    (224 of 256, as is usual); small ones, and those whose edges matter, do not.
    """
    return side if side <= SMALL or fit != "crop" else side + 2 * round(side / 14)


def square_pixels(image: Image.Image, side: int, fit: Fit = "crop") -> np.ndarray:
    """`(side, side, 3)` uint8 from an opened file: upright, RGB on white, made a square."""
    return fit_square(upright_rgb(image, side), side, fit)


def upright_rgb(image: Image.Image, side: int) -> Image.Image:
    """The whole picture, upright and as RGB on white, decoded no larger than `side` needs.

    In a picture with more than 8 bits per channel, white is the highest level that its file names
    (sBIT in PNG, MaxSampleValue or BitsPerSample in TIFF), or else the highest of 8, 10, 12, 14 or
    16 bits, whichever its brightest pixel needs.
    """
    # Lets the JPEG decoder work at a fraction of the size of a large photo.
    image.draft("RGB", (2 * side, 2 * side))
    # Before the pixels are read, which closes the file.
    white, lower = _white_of(image), _lower_bytes(image)
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _grey(upright, white)
    elif lower is not None:
        upright = _colour(upright, lower, white)
    if "A" in upright.getbands() or "transparency" in upright.info:
        paper = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(paper, upright.convert("RGBA"))
    return upright.convert("RGB")


def fit_square(image: Image.Image, side: int, fit: Fit = "crop") -> np.ndarray:
    """`(side, side, 3)` uint8 from an RGB image of any size, bicubic."""
    if image.size != (side, side):
        match fit:
            case "crop":
                image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
            case "squash":
                image = image.resize((side, side), Image.Resampling.BICUBIC)
            case "pad":
                image = _padded(image, side)
    return np.asarray(image, dtype=np.uint8)


def thumbnails(pictures: np.ndarray) -> np.ndarray:
    """`(N, side, side, 3)` uint8 of at most `THUMBNAIL` pixels a side, for people to look at."""
    if pictures.shape[1] <= THUMBNAIL or not len(pictures):
        return pictures
    return np.stack([fit_square(Image.fromarray(picture), THUMBNAIL) for picture in pictures])


def _padded(image: Image.Image, side: int) -> Image.Image:
    width, height = (max(1, round(length * side / max(image.size))) for length in image.size)
    inner = image.resize((width, height), Image.Resampling.BICUBIC)
    pixels = np.asarray(inner)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = border.mean(0).round().astype(int).tolist()
    square = Image.new("RGB", (side, side), (red, green, blue))
    square.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
    return square


def _grey(picture: Image.Image, white: float | None) -> Image.Image:
    """8-bit grey from 16 bits and more; the transparent level, if there is one, shows white."""
    levels = np.asarray(picture)
    if levels.dtype == np.float32:  # What is no number is black.
        levels = np.nan_to_num(levels, posinf=0.0)
    pixels = _to_bytes(levels, _white(levels, white))
    if (transparent := picture.info.get("transparency")) is not None:
        pixels[levels == transparent] = 255
    return Image.fromarray(pixels)


def _colour(picture: Image.Image, lower: Image.Image, white: float | None) -> Image.Image:
    """8-bit RGB or RGBA from 16 bits, of which Pillow reads the upper and the lower byte apart."""
    transparent, upper = picture.info.pop("transparency", None), np.asarray(picture)
    dark = int(upper[..., :3].max()) << 8 <= (white or _FULL >> 2)
    if transparent is None and not dark:
        return picture  # The lower bytes would change nothing.
    levels = upper.astype(np.uint16) << 8 | np.asarray(ImageOps.exif_transpose(lower))
    most = _white(levels[..., :3], white)
    # Cut off and not rounded, as Pillow has it and as it was in the first version.
    pixels = upper.copy() if most == _FULL else _to_bytes(levels, most)
    if levels[..., 3:].max(initial=0) > most:  # Only the colours have fewer bits.
        pixels[..., 3] = upper[..., 3]
    if transparent is not None:
        pixels[(levels[..., :3] == transparent).all(-1)] = 255
    return Image.fromarray(pixels)


def _to_bytes(levels: np.ndarray, white: float) -> np.ndarray:
    """Levels from 0 to `white`, what lies outside cut off, as uint8 from 0 to 255."""
    if levels.dtype == np.uint16:  # By a table, which takes little time and memory.
        return np.asarray(_to_bytes(np.arange(_FULL + 1.0), white)[levels])
    scaled = levels.clip(0, white) * 255.0 / white
    return np.asarray(np.rint(scaled), dtype=np.uint8)


def _white(levels: np.ndarray, named: float | None) -> float:
    """The level that is white: the one that the file names, or else as the levels look."""
    most = float(levels.max(initial=0))
    if named is not None:
        # A file may name its bits, and still have the levels spread over all 16.
        return named if most <= named else max(most, _FULL)
    if levels.dtype == np.float32 and most <= 1:
        return 1.0
    if levels.dtype == np.uint16 and not (levels % 257).any():
        return _FULL  # A picture of 8 bits, spread over 16.
    return next((full for bits in _DEPTHS if most <= (full := 2.0**bits - 1)), most)


def _white_of(image: Image.Image) -> float | None:
    """The level that is white by what an opened file says; None if it says nothing."""
    if image.format == "PNG":
        bits = _significant_bits(image) if "16" in _raw_mode(image) else 0
        return 2**bits - 1 if 0 < bits <= 16 else None
    if image.format in ("PPM", "JPEG2000"):  # Pillow has spread them over 16 bits by then.
        return _FULL if image.mode.startswith("I") else None
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS, ()), default=8)
    return max(tags.get(_MAX_SAMPLE, ()), default=0) or (2**bits - 1 if bits % 8 else None)


def _significant_bits(image: Image.Image) -> int:
    """What the sBIT chunk of a PNG says, which Pillow skips; 0 if there is none."""
    file = _file(image)
    file.seek(8)
    while len(head := file.read(8)) == 8 and head[4:] != b"IDAT":
        length = int.from_bytes(head[:4], "big")
        if head[4:] == b"sBIT":
            return max(file.read(min(length, 4)), default=0)
        file.seek(length + 4, os.SEEK_CUR)
    return 0


def _lower_bytes(image: Image.Image) -> Image.Image | None:
    """The lower bytes of a picture with 16 bits per colour, to be read; None for other ones."""
    kind, _, order = _raw_mode(image).partition(";16")
    if kind not in ("RGB", "RGBA") or order not in _OTHER_BYTE:
        return None
    lower = Image.open(_file(image), formats=[str(image.format)])
    assert isinstance(lower, ImageFile.ImageFile)
    swapped = f"{kind};16{_OTHER_BYTE[order]}"
    lower.tile = [
        tile._replace(args=(swapped, *tile.args[1:]) if isinstance(tile.args, tuple) else swapped)
        for tile in lower.tile
    ]
    return lower


def _raw_mode(image: Image.Image) -> str:
    """How Pillow is going to read the pixels of an opened file, such as "RGB;16B"."""
    if not isinstance(image, ImageFile.ImageFile) or not image.tile:
        return ""
    args = image.tile[0].args
    return str(args if isinstance(args, str) or not args else args[0])


def _file(image: Image.Image) -> BytesIO:
    """A copy of the file behind an opened picture, which goes on from where it was."""
    assert isinstance(image, ImageFile.ImageFile)
    assert image.fp is not None
    place = image.fp.tell()
    image.fp.seek(0)
    content = BytesIO(image.fp.read())
    image.fp.seek(place)
    return content


def is_picture(path: Path) -> bool:
    """Whether its suffix is one of a format that is read."""
    return path.suffix.lower() in SUFFIXES
