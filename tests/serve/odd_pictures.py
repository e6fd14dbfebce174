"""Pictures of every kind that people have, as files' contents."""

import io
from typing import Any

import numpy as np
from PIL import Image

from tests.records.deep_pictures import deep_png

RED = (255, 0, 0)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG", **options: Any) -> bytes:
    """A picture as a file's content."""
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    written = io.BytesIO()
    picture.save(written, kind, **options)
    return written.getvalue()


def scene(width: int, height: int, seed: int = 0) -> Image.Image:
    """Smooth colours with an edge: every step of the decoding shows in it."""
    random = np.random.default_rng(seed)
    small = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.paste(RED, (0, 0, max(1, width // 3), max(1, height // 5)))
    return image


def odd_pictures() -> dict[str, bytes]:
    """By what is odd about them."""
    plain = scene(60, 40)
    alpha = plain.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(plain.size))
    palette = plain.quantize(16)
    deep = np.asarray(plain.convert("L")).astype(np.uint16) * 257 - 100
    wide = np.asarray(plain).astype(np.uint16)
    found = {
        "of the model's size": encoded(scene(16, 16)),
        "JPEG": encoded(plain, "JPEG", quality=90),
        "progressive JPEG": encoded(plain, "JPEG", progressive=True),
        "WebP": encoded(plain, "WEBP"),
        "grey": encoded(plain.convert("L")),
        "black and white": encoded(plain.convert("1")),
        "grey with alpha": encoded(alpha.convert("LA")),
        "alpha": encoded(alpha),
        "WebP with alpha": encoded(alpha, "WEBP", lossless=True),
        "palette": encoded(palette),
        "palette with one transparent colour": encoded(palette, transparency=3),
        "palette with alpha": encoded(palette, transparency=bytes(range(0, 160, 10))),
        "grey with one transparent level": encoded(plain.convert("L"), transparency=200),
        "colour with one transparent colour": encoded(plain, transparency=RED),
        "16 bit": encoded(Image.fromarray(deep)),
        "16 bit, one level transparent": deep_png(deep, transparent=deep[20, 30]),
        "16 bit colour": deep_png(wide * 257),
        "16 bit colour, one transparent": deep_png(wide * 257, transparent=(255 * 257, 0, 0)),
        "12 bits in 16": deep_png(deep // 16, bits=12),
        "12 bits in 16, colour": deep_png(wide * 16),
        "CMYK": encoded(plain.convert("CMYK"), "JPEG", quality=90),
        "1x1": encoded(scene(1, 1)),
        "1x1 with alpha": encoded(Image.new("RGBA", (1, 1), (0, 0, 255, 100))),
        "a thin line": encoded(scene(3, 500)),
        "animated PNG": animated("PNG"),
        "animated WebP": animated("WEBP"),
        "several pictures in one JPEG": animated("MPO"),
    }
    return found | {f"turned by the camera, {n}": turned(n) for n in range(1, 9)}


def large_pictures() -> dict[str, bytes]:
    """Of 48 megapixels."""
    palette = scene(80, 60).quantize(8).resize((8000, 6000))
    return {
        "8000x6000": encoded(scene(8000, 6000), "JPEG", quality=80),
        "8000x6000 PNG": encoded(palette, compress_level=1),
    }


def animated(kind: str) -> bytes:
    written = io.BytesIO()
    frames = [scene(40, 30, seed) for seed in range(3)]
    frames[0].save(written, kind, save_all=True, append_images=frames[1:])
    return written.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(scene(60, 40), "JPEG", exif=exif, quality=90)
