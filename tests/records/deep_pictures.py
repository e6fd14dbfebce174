"""Pictures with more than 8 bits per channel, which Pillow cannot write."""

import struct
import zlib

import numpy as np


def deep_png(
    levels: np.ndarray, transparent: int | tuple[int, ...] | None = None, bits: int | None = None
) -> bytes:
    """A PNG of 16 bits from `(H, W)` or `(H, W, 3 or 4)` levels, with tRNS and sBIT if given."""
    height, width = levels.shape[:2]
    channels = levels.size // (height * width)
    rows = levels.astype(">u2").reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = [(b"IHDR", head)]
    if bits is not None:
        chunks.append((b"sBIT", bytes([bits] * channels)))
    if transparent is not None:
        chunks.append((b"tRNS", np.atleast_1d(transparent).astype(">u2").tobytes()))
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks += [(b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def deep_tiff(levels: np.ndarray, most: int | None = None) -> bytes:
    """A TIFF of 16 bits from `(H, W, 3)` levels, with MaxSampleValue if given."""
    height, width, _ = levels.shape
    pixels = levels.astype("<u2").tobytes()
    after = 8 + len(pixels)
    tags = [
        (256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, after), (259, 3, 1, 1),
        (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, height),
        (279, 4, 1, len(pixels)),
    ]  # fmt: skip
    shorts = struct.pack("<3H", 16, 16, 16)
    if most is not None:
        tags.append((281, 3, 3, after + 6))
        shorts += struct.pack("<3H", most, most, most)
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    head = b"II*\0" + struct.pack("<I", after + len(shorts))
    return head + pixels + shorts + struct.pack("<H", len(tags)) + directory + bytes(4)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
