"""Heat from activations, and how it is drawn."""

import numpy as np
import pytest

from records.pixels.heat import heat, overlay, overlay_jpeg


def test_what_all_classes_have_in_common_does_not_count() -> None:
    random = np.random.default_rng(0)
    activation = random.normal(size=(2, 3, 4, 4)).astype(np.float32)
    common = random.normal(size=(2, 1, 4, 4)).astype(np.float32)
    labels = np.array([2, 0])
    found = heat(activation, labels)
    np.testing.assert_allclose(heat(activation + 10 * common, labels), found, atol=1e-4)
    assert (found.min((1, 2)) == 0).all()
    assert (found.max((1, 2)) == 1).all()
    # Of two classes, each speaks against the other.
    two = activation[:, :2]
    one, other = heat(two, np.array([0, 0])), heat(two, np.array([1, 1]))
    np.testing.assert_allclose(one, 1 - other, atol=1e-5)


def test_without_differences_there_is_no_heat() -> None:
    flat = np.ones((1, 2, 3, 3)) + np.random.default_rng(0).normal(0, 1e-5, (1, 2, 3, 3))
    assert not heat(flat, np.array([1])).any()


@pytest.mark.parametrize("side", [32, 224, 300])
def test_heat_lies_where_it_belongs_and_bright_is_much(side) -> None:
    pixels = np.full((side, side, 3), 128, np.uint8)
    drawn = overlay(pixels, np.array([[0.0, 0.0], [0.0, 1.0]])).astype(int)
    assert len(drawn) >= 224
    assert len(drawn) % side == 0
    edge = len(drawn) // 8
    low_right, high_left = drawn[-edge:, -edge:].mean((0, 1)), drawn[:edge, :edge].mean((0, 1))
    assert low_right.sum() > high_left.sum() + 150
    assert low_right[0] > low_right[2] + 80  # Yellow.
    assert high_left[2] > high_left[1] + 30  # Dark blue.


def test_what_lies_around_the_crop_stays_grey() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    drawn = overlay(pixels, np.ones((7, 7)), crop=224 / 256).astype(int)
    is_grey = drawn.max(2) == drawn.min(2)
    assert is_grey[:16].all()
    assert is_grey[:, -16:].all()
    assert not is_grey[16:-16, 16:-16].any()
    assert overlay_jpeg(pixels, np.ones((7, 7)))[:2] == b"\xff\xd8"
