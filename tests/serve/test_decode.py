from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image

from serve.decode import NotAPicture, TooManyPixels, UnreadablePicture, decode, thumbnail
from tests.serve.conftest import encoded
from tests.serve.odd_pictures import scene, turned


def test_the_turn_is_asked_with_the_size_before_anything_is_decoded() -> None:
    content, asked = encoded(scene(30, 20)), []

    @contextmanager
    def turn(pixels: int):
        asked.append(pixels)
        raise TooManyPixels("no")
        yield

    # Its pixels are damaged, which nobody gets to see.
    with pytest.raises(TooManyPixels):
        decode(content[:-40], 16, turn)
    assert asked == [600]


def test_what_the_turn_raises_comes_through() -> None:
    def turn(pixels: int):
        raise KeyError(pixels)

    with pytest.raises(KeyError):
        decode(encoded(scene(3, 3)), 16, turn)


def test_bombs_are_refused_by_their_head() -> None:
    content = bytearray(encoded(Image.new("1", (100, 100))))
    content[16:24] = (60_000).to_bytes(4, "big") * 2  # The sizes in a PNG's first chunk.
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    with pytest.raises(TooManyPixels, match="more pixels than"):
        decode(bytes(content), 16)


def test_reasons_do_not_name_what_nobody_knows() -> None:
    with pytest.raises(NotAPicture, match="^not a JPEG, PNG or WebP picture$"):
        decode(b"text", 16)


def test_a_file_that_is_not_there_says_so(tmp_path) -> None:
    with pytest.raises(UnreadablePicture, match="No such file"):
        decode(tmp_path / "none.png", 16)


def test_thumbnails_are_upright_and_whole(tmp_path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(turned(6))
    (tmp_path / "small.jpg").write_bytes(thumbnail(path, 30))
    with Image.open(tmp_path / "small.jpg") as image:
        assert image.size == (20, 30)
        assert np.asarray(image).std() > 10
