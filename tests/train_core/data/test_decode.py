import numpy as np
import pytest
from PIL import Image

from train_core.data.decode import decode, fit_square, resize_all

RED, WHITE, GREY, BLACK = (255, 0, 0), (255, 255, 255), (128, 128, 128), (0, 0, 0)


def saved(tmp_path, image: Image.Image, name: str = "image.png", **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", RED, RED),
        ("L", 128, GREY),
        ("1", 1, WHITE),
        ("LA", (128, 255), GREY),
        ("RGBA", (*RED, 255), RED),
        ("RGBA", (*RED, 0), WHITE),
        ("I;16", 128 * 257, GREY),
        ("I;16", 12 * 257, (12, 12, 12)),
        ("I;16", 128, GREY),
        ("I;16", 0, BLACK),
    ],
)
def test_modes_become_rgb(tmp_path, mode, colour, expected) -> None:
    path = saved(tmp_path, Image.new(mode, (20, 20), colour))
    assert (decode(path, 16) == np.array(expected)).all()


def test_palettes_with_transparency_show_white(tmp_path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([0, 0, 0, *RED])
    path = saved(tmp_path, image, transparency=0)
    assert (decode(path, 16) == 255).all()


def test_cmyk_becomes_rgb(tmp_path) -> None:
    image = Image.new("RGB", (32, 32), RED).convert("CMYK")
    path = saved(tmp_path, image, "image.jpg")
    assert np.abs(decode(path, 16).astype(int) - np.array(RED)).max() < 40


def test_webp_is_read(tmp_path) -> None:
    path = saved(tmp_path, Image.new("RGB", (20, 20), RED), "image.webp", lossless=True)
    assert (decode(path, 16) == np.array(RED)).all()


def test_the_camera_s_rotation_is_undone(tmp_path) -> None:
    image = Image.new("RGB", (40, 20), RED)
    image.paste(WHITE, (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn a quarter clockwise to see it upright.
    result = decode(saved(tmp_path, image, "image.jpg", exif=exif, quality=95), 16)
    assert result[1, 8].min() > 200
    assert result[14, 8, 1] < 60


def test_the_centre_square_is_kept() -> None:
    image = Image.new("RGB", (96, 32), RED)
    image.paste(WHITE, (32, 0, 64, 32))
    assert (fit_square(image, 32) == 255).all()


def test_large_photos_are_shrunk(tmp_path) -> None:
    path = saved(tmp_path, Image.new("RGB", (3000, 2000), RED), "photo.jpg", quality=95)
    assert decode(path, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_files_that_are_no_images_raise_oserror(tmp_path, content) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(OSError, match="."):
        decode(path, 16)


def test_cut_off_files_raise_oserror(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = saved(tmp_path, Image.fromarray(noise), "image.jpg")
    path.write_bytes(path.read_bytes()[:800])
    with pytest.raises(OSError, match="truncated"):
        decode(path, 16)


def test_bombs_raise_oserror(tmp_path, monkeypatch) -> None:
    path = saved(tmp_path, Image.new("1", (400, 400)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(OSError, match="DecompressionBomb"):
        decode(path, 16)


def test_grey_arrays_are_resized_to_rgb() -> None:
    images = np.arange(2 * 8 * 8, dtype=np.uint8).reshape(2, 8, 8)
    result = resize_all(images, 32)
    assert result.shape == (2, 32, 32, 3)
    assert (result[..., 0] == result[..., 2]).all()


def test_arrays_of_the_right_size_are_left_alone() -> None:
    images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    assert resize_all(images, 32) is images
