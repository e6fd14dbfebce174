"""One picture of any kind to the `(side, side, 3)` uint8 pixels that an exported model takes.

The pixels are made by `records.pixels`, as in the training; here a picture may come from memory,
wait for its turn, and be refused with a reason.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from records.pixels import FORMATS, Fit, square_pixels, upright_rgb

_SENT = ("JPEG", "PNG", "WEBP")  # Fewer decoders are fewer ways into a service.

Turn = Callable[[int], AbstractContextManager[object]]
"""Gets a picture's number of pixels, as its head says it; entered while they are decoded. It may
wait, or refuse by raising."""


class UnreadablePicture(Exception):
    """A picture that cannot be decoded; the text says why, without its name."""


class NotAPicture(UnreadablePicture):
    """It is none of the formats that are read."""


class TooManyPixels(UnreadablePicture):
    """It is larger than allowed."""


def decode(
    picture: Path | bytes, side: int, turn: Turn = nullcontext, fit: Fit = "crop"
) -> np.ndarray:
    """A picture as a square, upright and RGB on white: `(side, side, 3)` uint8 pixels.

    It is a file of a format in `records.pixels.FORMATS`, or the content of a JPEG, PNG or WebP
    file, which is all that strangers may send; of an animation the first frame counts.
    `turn` says when it may be decoded, by default at once.

    Raises:
        UnreadablePicture: It cannot be read, is no picture, is cut off, or is too large.
    """
    with _open(picture) as image, turn(image.width * image.height), _reasons():
        return square_pixels(image, side, fit)


def thumbnail(path: Path, side: int, turn: Turn = nullcontext) -> bytes:
    """A picture, upright and whole, as a JPEG of at most `side` x `side` pixels.

    Raises:
        UnreadablePicture: It cannot be read.
    """
    with _open(path) as image, turn(image.width * image.height), _reasons():
        small = upright_rgb(image, side)
        small.thumbnail((side, side))
        written = BytesIO()
        small.save(written, "JPEG", quality=85)
        return written.getvalue()


def _open(picture: Path | bytes) -> Image.Image:
    """Reads the head only."""
    if isinstance(picture, bytes):
        with _reasons("a JPEG, PNG or WebP picture"):
            return Image.open(BytesIO(picture), formats=_SENT)
    with _reasons():
        return Image.open(picture, formats=FORMATS)


@contextmanager
def _reasons(expected: str = "a picture of a format that is read") -> Iterator[None]:
    """Turn whatever a broken file leads Pillow's decoders to raise into its reason."""
    try:
        yield
    except UnreadablePicture:
        raise
    except UnidentifiedImageError:
        raise NotAPicture(f"not {expected}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise TooManyPixels("it has more pixels than a picture may have") from None
    except OSError as error:
        raise UnreadablePicture(error.strerror or str(error)) from None
    except Exception as error:  # noqa: BLE001
        raise UnreadablePicture(f"{type(error).__name__}: {error}") from None
