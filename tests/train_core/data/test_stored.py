"""Images that are read and written a few rows at a time."""

import tracemalloc

import numpy as np
import pytest

from tests.conftest import stripes
from train_core.data import Content
from train_core.data.config import DataConfig
from train_core.data.prepare import image_rows, load_part, prepare
from train_core.data.stored import ImageFile, ImageRows, array_files, write_part


@pytest.fixture(params=["file", "array"])
def rows(request, tmp_path) -> ImageRows:
    """The stripes, wherever they are."""
    images, labels = stripes(40)
    if request.param == "array":
        return ImageRows(images)
    write_part(tmp_path, "train", Content(images, labels))
    return ImageRows(ImageFile.in_cache(array_files(tmp_path, "train")[0]))


IMAGES = stripes(40)[0]


def test_rows_come_in_the_order_that_is_asked_for(rows) -> None:
    which = np.array([7, 3, 4, 5, 39, 0, 0])
    np.testing.assert_array_equal(rows.take(which), IMAGES[which])
    out = np.empty((7, *IMAGES.shape[1:]), np.uint8)
    assert rows.take(which, out) is out
    np.testing.assert_array_equal(out, IMAGES[which])
    assert rows.take(which[:0]).shape == (0, 16, 16, 3)


def test_a_view_of_a_view_is_that_of_an_array(rows) -> None:
    view, expected = rows[::3][2:9], IMAGES[::3][2:9]
    assert view.shape == expected.shape
    np.testing.assert_array_equal(view[-1], expected[-1])
    np.testing.assert_array_equal(list(view), expected)
    np.testing.assert_array_equal(rows.at(np.array([5, 2]))[1], IMAGES[2])


@pytest.mark.parametrize("count", [1, 7, 40, 100, None])
def test_pieces_are_all_of_it(rows, count) -> None:
    pieces = list(rows.pieces(count))
    np.testing.assert_array_equal(np.concatenate(pieces), IMAGES)
    assert all(len(piece) == count for piece in pieces[:-1])


def test_a_file_that_was_cut_off_is_not_read_for_less(rows, tmp_path) -> None:
    if not (path := array_files(tmp_path, "train")[0]).exists():
        pytest.skip("not a file")
    with path.open("r+b") as file:
        file.truncate(20_000)
    np.testing.assert_array_equal(rows.take(np.array([0])), IMAGES[:1])
    with pytest.raises(OSError, match=r"train\.images\.npy' must be whole, but it is cut off"):
        rows.take(np.array([39]))


def test_what_has_no_name_is_gone_with_its_last_holder(tmp_path) -> None:
    file = ImageFile.without_name(tmp_path, IMAGES.shape)
    for row in (3, 1):
        file.write(row, IMAGES[row])
    np.testing.assert_array_equal(ImageRows(file).take(np.array([1, 3])), IMAGES[[1, 3]])
    del file
    assert not list(tmp_path.iterdir())


def test_preparing_takes_little_memory_whatever_the_pictures(image_folder, tmp_path) -> None:
    config = DataConfig(dataset=str(image_folder), root=str(tmp_path / "data"), image_size=16)
    prepare(config)  # Whatever is imported stays in memory.
    tracemalloc.start()
    prepared = prepare(config.model_copy(update={"image_size": 256}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    images = load_part(prepared, "train").images
    assert images.nbytes > 11e6
    assert peak < 5e6
    np.testing.assert_array_equal(image_rows(prepared, "train").take(np.arange(60)), images)
    assert not list((tmp_path / "data" / "cache").glob("tmp*"))
