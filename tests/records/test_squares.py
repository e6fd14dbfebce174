"""How pictures of any proportions become squares."""

import numpy as np
import pytest
from PIL import Image

from records.pixels import fit_square, stored_side, thumbnails

WIDE = np.zeros((20, 40, 3), np.uint8)
WIDE[:, :10] = 200  # A bright edge that only the whole picture has.


@pytest.mark.parametrize(
    ("side", "fit", "kept"),
    [(224, "crop", 256), (128, "crop", 146), (64, "crop", 64), (224, "pad", 224),
     (224, "squash", 224)],
)  # fmt: skip
def test_large_pictures_are_kept_with_a_margin(side, fit, kept) -> None:
    assert stored_side(side, fit) == kept


def test_margins_are_even() -> None:
    assert all((stored_side(side, "crop") - side) % 2 == 0 for side in range(16, 513))


def test_a_crop_loses_the_edges() -> None:
    assert fit_square(Image.fromarray(WIDE), 20).max() == 0


def test_squashed_pictures_keep_all_of_it_in_other_proportions() -> None:
    found = fit_square(Image.fromarray(WIDE), 20, "squash")
    assert found.shape == (20, 20, 3)
    assert (found[:, :4] > 190).all()
    assert (found[:, 7:] < 10).all()


@pytest.mark.parametrize("upright", [False, True])
def test_padded_pictures_keep_their_proportions(upright) -> None:
    picture = WIDE.transpose(1, 0, 2) if upright else WIDE
    found = fit_square(Image.fromarray(np.ascontiguousarray(picture)), 20, "pad")
    found = found.transpose(1, 0, 2) if upright else found
    assert (found[5:15, :4] > 190).all()
    assert (found[5:15, 7:] < 10).all()
    beside = np.concatenate([found[:5], found[15:]])
    assert (beside == beside[0, 0]).all()  # One colour, and none that the border has not.
    assert 60 < beside[0, 0, 0] < 120


def test_a_line_is_a_picture_too() -> None:
    assert fit_square(Image.fromarray(WIDE[:1]), 16, "pad").shape == (16, 16, 3)


def test_a_black_border_is_padded_with_black() -> None:
    scan = np.zeros((20, 40, 3), np.uint8)
    scan[8:12, 10:30] = 255
    assert fit_square(Image.fromarray(scan), 40, "pad")[:5].max() == 0


@pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
def test_squares_of_the_size_stay_as_they_are(fit) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    np.testing.assert_array_equal(fit_square(Image.fromarray(pixels), 16, fit), pixels)


def test_only_large_pictures_become_thumbnails() -> None:
    assert thumbnails(np.zeros((2, 200, 200, 3), np.uint8)).shape == (2, 96, 96, 3)
    assert thumbnails(np.zeros((2, 32, 32, 3), np.uint8)).shape == (2, 32, 32, 3)
    assert thumbnails(np.zeros((0, 200, 200, 3), np.uint8)).shape[0] == 0
