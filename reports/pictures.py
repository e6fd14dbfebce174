"""Pictures as data URIs, so that the page needs no files beside it."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

_LARGEST = 96
"""Side in pixels above which a picture is made smaller."""

_LOSSLESS = 48
"""Side up to which it is kept as it is: pixels of tiny images should be seen, not smeared."""


def picture_uri(pixels: np.ndarray) -> str:
    """A picture as a data URI.

    Args:
        pixels: `(height, width, 3)` uint8.
    """
    picture, held = Image.fromarray(np.ascontiguousarray(pixels)), BytesIO()
    picture.thumbnail((_LARGEST, _LARGEST))
    if max(picture.size) <= _LOSSLESS:
        picture.save(held, "PNG", optimize=True)
        kind = "png"
    else:
        picture.save(held, "JPEG", quality=85)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode()}"
