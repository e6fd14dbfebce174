"""The pictures of a request: read into memory only, checked, decoded in turn."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import numpy as np
from flask import Request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import (
    BadRequest,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)
from werkzeug.sansio.multipart import (
    Data,
    Epilogue,
    Event,
    Field,
    File,
    MultipartDecoder,
    NeedData,
)

from records.pixels import Fit
from serve import decode
from serve.web.config import ServiceConfig
from serve.web.shared import Budget

_FIELD = "image"
_MOST_PARTS = 1000
_CHUNK = 1 << 16  # Bytes that are read at a time,
_LONGEST_HEAD = 1 << 17  # and of the head of a part, which has the name of its file.
# Pixels from which on a picture is decoded alone: it takes long, and much memory.
_LARGE = 4_000_000
_LARGE_WAITING = 4  # More would take the threads away from everybody else.


class _AnyNames(MultipartDecoder):
    """Names of files are UTF-8; what old clients send is read as Latin-1, which anything is."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        try:
            return super()._parse_headers(data)
        except UnicodeDecodeError:
            return super()._parse_headers(data.decode("latin-1").encode())


def _files(request: Request) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the files in the form's field, without writing any to disk.

    Raises:
        BadRequest: The form is broken.
    """
    name: str | None = None
    content = BytesIO()
    try:
        for event in _events(request):
            if isinstance(event, Field | File):
                content, name = BytesIO(), None
                if isinstance(event, File) and event.name == _FIELD:
                    name = event.filename or _FIELD
            elif isinstance(event, Data) and name is not None:
                content.write(event.data)
                if not event.more_data:
                    yield name, content.getvalue()
    except ValueError:
        raise BadRequest(
            "the form must be whole, but it is cut off, a part has no head, or its boundary is "
            "not the one of the header Content-Type"
        ) from None


def _events(request: Request) -> Iterator[Event]:
    boundary = request.mimetype_params.get("boundary", "").encode("ascii")
    if not boundary:
        raise ValueError("no boundary")
    decoder = _AnyNames(boundary, _CHUNK + _LONGEST_HEAD, max_parts=_MOST_PARTS)
    while not isinstance(event := decoder.next_event(), Epilogue):
        if isinstance(event, NeedData):
            decoder.receive_data(request.stream.read(_CHUNK) or None)
        else:
            yield event


class Decoder:
    """Decodes uploads; large pictures one after the other, so that the others go on."""

    def __init__(
        self, side: int, config: ServiceConfig, pixels: Budget, fit: Fit = "crop"
    ) -> None:
        self._side, self._config, self._pixels, self._fit = side, config, pixels, fit
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
        if (request.content_length or 0) > self._config.most_bytes:
            raise RequestEntityTooLarge(
                f"a request may have {self._config.most_bytes:,} bytes, but has "
                f"{request.content_length:,}"
            )
        files = list(_files(request))
        if not files:
            raise BadRequest(f"a request must hold at least one file in the field '{_FIELD}'")
        if len(files) > self._config.most_images:
            raise RequestEntityTooLarge(
                f"a request may hold {self._config.most_images} pictures, but has {len(files)}"
            )
        decoded = [self._decode(name, content) for name, content in files]
        return [name for name, _ in files], np.stack(decoded)

    def _decode(self, name: str, content: bytes) -> np.ndarray:
        try:
            return decode.decode(content, self._side, self.turn, self._fit)
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
            with self._large(pixels):
                yield
        finally:
            self._places.release()

    @contextmanager
    def _large(self, pixels: int) -> Iterator[None]:
        """One in this process, and so many pixels in all of them."""
        most, end = self._config.most_pixels_at_once, time.monotonic() + self._config.seconds
        too_long = ServiceUnavailable("large pictures took too long: try again in a moment")
        if not self._one_large.acquire(timeout=self._config.seconds):
            raise too_long
        try:
            if not self._pixels.wait(pixels, most, end - time.monotonic()):
                raise too_long
            try:
                yield
            finally:
                self._pixels.give_back(pixels)
        finally:
            self._one_large.release()
