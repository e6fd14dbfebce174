"""Uploads that nobody should have to expect: damaged, renamed, huge, and two things at once."""

import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

from tests.serve.odd_pictures import encoded, odd_pictures, scene

_BOUNDARY = b"----part"


def multipart(
    *contents: bytes, name: str = "picture.png", field: str = "image"
) -> tuple[bytes, str]:
    """A request's body and its content type."""
    head = (
        f'Content-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n"
    )
    parts = [b"--" + _BOUNDARY + b"\r\n" + head.encode() + c + b"\r\n" for c in contents]
    body = b"".join(parts) + b"--" + _BOUNDARY + b"--\r\n"
    return body, f"multipart/form-data; boundary={_BOUNDARY.decode()}"


def mutated(count: int, seed: int = 0) -> Iterator[tuple[str, bytes, str]]:
    """What was done, body and content type of `count` uploads, the same for the same seed."""
    random = np.random.default_rng(seed)
    pictures = list(odd_pictures().values())
    kinds: list[Callable[[bytes, np.random.Generator], bytes | tuple[bytes, str]]] = [
        _truncated,
        _flipped,
        _spliced,
        _renamed,
        _oversized,
        _bomb,
        _polyglot,
        _body,
        _garbage,
    ]
    for number in range(count):
        kind = kinds[number % len(kinds)]
        picture = pictures[int(random.integers(len(pictures)))]
        made = kind(picture, random)
        body, content_type = made if isinstance(made, tuple) else multipart(made)
        yield kind.__name__.strip("_"), body, content_type


def _truncated(picture: bytes, random: np.random.Generator) -> bytes:
    return picture[: int(random.integers(len(picture)))]


def _flipped(picture: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(picture)
    for place in random.integers(0, len(changed), int(random.integers(1, 40))):
        changed[place] = int(random.integers(256))
    return bytes(changed)


def _spliced(picture: bytes, random: np.random.Generator) -> bytes:
    other = encoded(scene(30, 20, int(random.integers(99))), "WEBP")
    cut = int(random.integers(len(picture)))
    return picture[:cut] + other[int(random.integers(len(other))) :] + picture[cut:]


def _renamed(picture: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    names = [
        "../../etc/passwd",
        "a.exe",
        "x" * 3000,
        "\u202egnp.exe",
        ".png",
        "con.jpg",
        "%00.png",
    ]
    other = [picture, b"%PDF-1.7 " + picture, b"<svg/>", b"GIF89a" + picture]
    content = other[int(random.integers(len(other)))]
    return multipart(content, name=names[int(random.integers(len(names)))])


def _oversized(picture: bytes, random: np.random.Generator) -> bytes | tuple[bytes, str]:
    if random.integers(4):
        return picture + bytes(int(random.integers(1 << 20)))
    return multipart(*[picture] * int(random.integers(33, 60)))


def _bomb(picture: bytes, random: np.random.Generator) -> bytes:
    """A PNG of few bytes that says it has very many pixels, or has a text that unpacks to much."""
    if random.integers(2):
        side = int(random.choice([8_000, 20_000, 60_000, 2**31 - 1]))
        head = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        return _png(head, [(b"IDAT", _zeros(1 << 20))])
    text = b"Comment\0\0" + _zeros(65 << 20)
    head = struct.pack(">IIBBBBB", 4, 4, 8, 0, 0, 0, 0)
    return _png(head, [(b"zTXt", text), (b"IDAT", zlib.compress(bytes(20)))])


@cache
def _zeros(count: int) -> bytes:
    return zlib.compress(bytes(count), 9)


def _polyglot(picture: bytes, random: np.random.Generator) -> bytes:
    packed = io.BytesIO(picture)
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("../evil.py", "print('hello')")
    return [packed.getvalue(), picture + b"<script>alert(1)</script>", b"GIF89a" + picture][
        int(random.integers(3))
    ]


def _body(picture: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    body, content_type = multipart(picture)
    match int(random.integers(5)):
        case 0:
            return body[: int(random.integers(len(body)))], content_type
        case 1:
            return body, "multipart/form-data"
        case 2:
            return body, "application/json"
        case 3:
            return body.replace(b'name="image"', b'name="imag\xff"'), content_type
        case _:
            return body, "multipart/form-data; boundary=another"


def _garbage(picture: bytes, random: np.random.Generator) -> bytes:
    heads = [
        b"",
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\0\0\0\0WEBPVP8 ",
        b"BM",
        b"II*\0",
    ]
    return heads[int(random.integers(len(heads)))] + random.bytes(int(random.integers(1, 5000)))


def _png(head: bytes, chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = [(b"IHDR", head), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
