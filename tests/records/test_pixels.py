"""Pictures with more than 8 bits per channel look as their twins of 8 bits do."""

import io

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from records.pixels import square_pixels
from tests.records.deep_pictures import deep_png, deep_tiff

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (16, 16), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (16, 16, 3), dtype=np.uint8)
PICTURES = [GREY, COLOUR, GREY // 16, COLOUR // 16]
NAMES = ["grey", "colour", "dark grey", "dark colour"]


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return square_pixels(image, 16)


def twin(levels: np.ndarray, **options) -> np.ndarray:
    written = io.BytesIO()
    Image.fromarray(levels).save(written, "PNG", **options)
    return pixels(written.getvalue())


def wide(levels: np.ndarray) -> np.ndarray:
    return levels.astype(np.uint16) * 257


def off(found: np.ndarray, expected: np.ndarray) -> int:
    return int(np.abs(found.astype(int) - expected).max())


@pytest.mark.parametrize("levels", PICTURES, ids=NAMES)
def test_16_bits_look_like_8(levels) -> None:
    assert (pixels(deep_png(wide(levels))) == twin(levels)).all()


@pytest.mark.parametrize("levels", PICTURES, ids=NAMES)
def test_transparent_levels_are_white(levels) -> None:
    chosen = levels[3, 5]
    expected = twin(levels, transparency=tuple(chosen.tolist()) if chosen.ndim else int(chosen))
    found = pixels(deep_png(wide(levels), transparent=wide(chosen)))
    assert (found[3, 5] == 255).all()
    assert (found == expected).all()


def test_only_the_very_level_is_transparent() -> None:
    levels = np.full((16, 16, 3), 65_535, np.uint16)
    levels[:8] = 40
    found = pixels(deep_png(levels, transparent=(0, 0, 0)))
    assert (found[:8] == 0).all()


@pytest.mark.parametrize("levels", [GREY, COLOUR], ids=NAMES[:2])
def test_12_bits_in_16_keep_their_levels(levels) -> None:
    assert off(pixels(deep_png(levels.astype(np.uint16) * 16)), twin(levels)) <= 1


@pytest.mark.parametrize("levels", PICTURES, ids=NAMES)
def test_the_file_s_own_depth_counts(levels) -> None:
    stored = levels.astype(np.uint16) * 16
    assert off(pixels(deep_png(stored, bits=12)), twin(levels)) <= 1
    # A dark picture is dark if the file says that it uses all bits.
    assert off(pixels(deep_png(stored, bits=16)), twin((stored >> 8).astype(np.uint8))) <= 1


@pytest.mark.parametrize("bits", [12, None])
def test_levels_that_use_all_16_bits_are_taken_so(bits) -> None:
    assert (pixels(deep_png(wide(GREY) & 0xFFF0, bits=bits)) == twin(GREY)).all()


def test_alpha_has_the_depth_of_the_colours() -> None:
    stored = COLOUR.astype(np.uint16) * 16
    for most in (4095, 65_535):
        alpha = np.full((16, 16), most, np.uint16)
        assert off(pixels(deep_png(np.dstack([stored, alpha]))), twin(COLOUR)) <= 1


@pytest.mark.parametrize("most", [None, 4095])
def test_tiff_says_its_depth_too(most) -> None:
    levels = COLOUR if most is None else COLOUR // 16
    assert off(pixels(deep_tiff(levels.astype(np.uint16) * 16, most)), twin(levels)) <= 1
    assert (pixels(deep_tiff(wide(levels))) == twin(levels)).all()


@pytest.mark.parametrize(("kind", "scale"), [(np.float32, 1 / 255), (np.int32, 16)])
def test_other_levels_are_kept(kind, scale) -> None:
    written = io.BytesIO()
    Image.fromarray((GREY * float(scale)).astype(kind)).save(written, "TIFF")
    assert off(pixels(written.getvalue()), twin(GREY)) <= 1


def test_what_is_no_number_is_black() -> None:
    levels = (GREY / 255).astype(np.float32)
    levels[0, :3] = np.nan, np.inf, -np.inf
    expected = GREY.copy()
    expected[0, :3] = 0
    written = io.BytesIO()
    Image.fromarray(levels).save(written, "TIFF")
    assert off(pixels(written.getvalue()), twin(expected)) <= 1


def test_megabytes_of_text_do_not_matter() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", "a" * 3_000_000, zip=True)
    text.add_itxt("workflow", "b" * 5_000_000, zip=True)
    assert (twin(COLOUR, pnginfo=text) == COLOUR).all()
