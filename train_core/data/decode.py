"""One image file of any kind to `(side, side, 3)` uint8."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def decode(path: Path, side: int) -> np.ndarray:
    """Read an image, upright, as RGB on white, cut to its centre square and resized.

    Args:
        path: A JPEG, PNG or WebP file of any size and mode; of an animation the first frame.
        side: Height and width of the result in pixels.

    Returns:
        `(side, side, 3)` uint8.

    Raises:
        OSError: The file cannot be read, is not an image, is cut off, or is larger than a
            decompression bomb may be.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as image:
            # Lets the JPEG decoder work at a fraction of the size of a large photo.
            image.draft("RGB", (2 * side, 2 * side))
            return fit_square(to_rgb(ImageOps.exif_transpose(image)), side)
    except OSError:
        raise
    # Pillow's decoders raise whatever a broken file leads them to.
    except Exception as error:  # noqa: BLE001
        raise OSError(f"{type(error).__name__}: {error}") from None


def fit_square(image: Image.Image, side: int) -> np.ndarray:
    """`(side, side, 3)` uint8 from an RGB image: its centre square, bicubic."""
    if image.size != (side, side):
        image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.uint8)


def to_rgb(image: Image.Image) -> Image.Image:
    """To 8-bit RGB: 16-bit grey keeps its brightness, transparency shows white."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.rint(np.asarray(image) / 257).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return image.convert("RGB")


def resize_all(images: np.ndarray, side: int) -> np.ndarray:
    """`(N, side, side, 3)` uint8 from `(N, H, W)` grey or `(N, H, W, 3)` RGB uint8."""
    if images.shape[1:] == (side, side, 3):
        return images
    return np.stack([fit_square(Image.fromarray(i).convert("RGB"), side) for i in images])
