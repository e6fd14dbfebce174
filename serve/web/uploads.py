"""The pictures of a request: read into memory only, checked, decoded in turn."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from flask import Request
from werkzeug.exceptions import (
    BadRequest,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from serve import decode
from serve.web.config import ServiceConfig

_FIELD = "image"
# Pixels from which on a picture is decoded alone: it takes long, and much memory.
_LARGE = 4_000_000
_LARGE_WAITING = 4  # More would take the threads away from everybody else.


class InMemory(Request):
    """A request whose uploads are never spooled to a file."""

    def _get_file_stream(self, *_: object, **__: object) -> BytesIO:
        return BytesIO()


class Decoder:
    """Decodes uploads; large pictures one after the other, so that the others go on."""

    def __init__(self, side: int, config: ServiceConfig) -> None:
        self._side, self._config = side, config
        self._one_large = threading.Lock()
        self._places = threading.BoundedSemaphore(_LARGE_WAITING)

    def images(self, request: Request) -> tuple[list[str], np.ndarray]:
        """Names and pixels `(N, side, side, 3)` uint8 of the pictures in a request.

        Raises:
            HTTPException: What is wrong with the request, by its subclass.
        """
        if request.mimetype != "multipart/form-data":
            raise UnsupportedMediaType(
                f"pictures must be sent as multipart/form-data, but the content type is "
                f"'{request.mimetype or 'missing'}'"
            )
        files = request.files.getlist(_FIELD)
        if not files:
            raise BadRequest(f"a request must hold at least one file in the field '{_FIELD}'")
        if len(files) > self._config.most_images:
            raise RequestEntityTooLarge(
                f"a request may hold {self._config.most_images} pictures, but has {len(files)}"
            )
        names = [file.filename or _FIELD for file in files]
        decoded = [self._decode(n, f.read()) for n, f in zip(names, files, strict=True)]
        return names, np.stack(decoded)

    def _decode(self, name: str, content: bytes) -> np.ndarray:
        try:
            return decode.decode(content, self._side, self.turn)
        except decode.NotAPicture as error:
            raise UnsupportedMediaType(f"'{name}': {error}") from None
        except decode.TooManyPixels as error:
            raise RequestEntityTooLarge(f"'{name}': {error}") from None
        except decode.UnreadablePicture as error:
            raise UnprocessableEntity(f"'{name}' cannot be decoded: {error}") from None

    @contextmanager
    def turn(self, pixels: int) -> Iterator[None]:
        """The turn of a picture with so many pixels.

        Raises:
            TooManyPixels: It has more than allowed.
            ServiceUnavailable: Too many large pictures wait already.
        """
        if pixels > self._config.most_pixels:
            raise decode.TooManyPixels(
                f"a picture may have {self._config.most_pixels:,} pixels, but has {pixels:,}"
            )
        if pixels < _LARGE:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise ServiceUnavailable("too many large pictures wait already: try again in a moment")
        try:
            if not self._one_large.acquire(timeout=self._config.seconds):
                raise ServiceUnavailable("large pictures took too long: try again in a moment")
            try:
                yield
            finally:
                self._one_large.release()
        finally:
            self._places.release()
