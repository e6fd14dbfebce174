"""The augmentation of large images, of which a rectangle is shown."""

import pytest
import torch

from tests.conftest import image_data
from tests.train_core.engine.test_augment import CPU, RAW, draws, pictures, strength
from tests.train_core.test_view import smooth
from train_core.engine.augment import LIGHT, SHRUNK, augment, draw
from train_core.images import Normalisation
from train_core.images.view import View

VIEWS = [View(110, 96, 96), View(110, 96, 40), View(64, 64, 32)]
NONE = torch.zeros(4, dtype=torch.bool)


def norm(view: View | None) -> Normalisation:
    return Normalisation(RAW.mean, RAW.std, view)


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("mirrored", [False, True])
def test_strength_0_shows_what_is_scored(view, mirrored) -> None:
    images, random = smooth(4, view.stored), torch.Generator().manual_seed(0)
    own = Normalisation(*image_data().normalisation.affine(), view)
    shown = augment(images, NONE | mirrored, draw(4, CPU, random), strength(0.0), own)
    scored = own(images.flip(2) if mirrored else images)
    torch.testing.assert_close(shown, scored, atol=1e-4, rtol=1e-4)


def test_images_without_a_margin_are_moved_as_ever() -> None:
    images, random = pictures(), torch.Generator().manual_seed(0)
    numbers = draw(4, CPU, random)
    expected = augment(images, NONE, numbers, strength(0.7), norm(None))
    assert torch.equal(
        augment(images, NONE, numbers, strength(0.7), norm(View(32, 32, 32))), expected
    )


def ramp(stored: int, count: int) -> torch.Tensor:
    """Every pixel's column is its red, every pixel's row its green."""
    columns = torch.arange(stored, dtype=torch.uint8).expand(stored, stored)
    plane = torch.stack([columns, columns.T, columns * 0], 2)
    return plane.expand(count, stored, stored, 3)


def corners(s: float, count: int = 500) -> torch.Tensor:
    """`(count, 4)`: left, right, top and bottom of what is shown of 110 pixels of which 96 are."""
    numbers = draw(count, CPU, torch.Generator().manual_seed(0))
    numbers[:, 5:7] = 0.5
    no = torch.zeros(count, dtype=torch.bool)
    numbers[:, 7:9] = 0.999  # The cut in the last corner.
    shown = augment(ramp(110, count), no, numbers, strength(s), norm(View(110, 96, 32)))
    red, green = shown[:, 0], shown[:, 1]
    return torch.stack([red[:, 1, 1], red[:, 1, 15], green[:, 1, 1], green[:, 15, 1]], 1)


@pytest.mark.parametrize("s", [0.25, 0.5, 1.0])
def test_crops_get_smaller_and_larger_with_the_strength(s) -> None:
    left, right, top, bottom = corners(s).T
    width, height = (right - left) * 32 / 14, (bottom - top) * 32 / 14
    side = (width * height).sqrt()
    least, most = 96 * (1 - SHRUNK * s), 96 + 14 * s
    assert side.min() > least - 1
    assert side.max() < most + 1
    assert side.max() - side.min() > 0.8 * (most - least)
    stretch = width / height
    assert stretch.max() > 1 + 0.2 * s
    assert stretch.max() < (4 / 3) ** s + 0.05
    # Everywhere, but never beyond the image.
    assert (left - width / 32 * 1.5).min() > -1.5
    assert (left - width / 32 * 1.5).max() > 0.5 * (110 - least)


def test_a_weak_crop_stays_near_the_middle() -> None:
    left, right, top, bottom = corners(0.02).T
    assert ((left + right) / 2).std() < 1.0
    assert ((top + bottom) / 2).std() < 1.0


def test_light_has_no_colour() -> None:
    for view in VIEWS:
        images = smooth(4, view.stored)[..., :1].expand(4, view.stored, view.stored, 3)
        numbers = draw(4, CPU, torch.Generator().manual_seed(0))
        shown = augment(images, NONE, numbers, strength(1.0), norm(view))
        torch.testing.assert_close(shown[:, 0], shown[:, 1])
        torch.testing.assert_close(shown[:, 0], shown[:, 2])


def test_light_is_one_line_per_image() -> None:
    images, view = smooth(4, 110), VIEWS[1]
    lit = draws(contrast=1.0, brightness=0.0, top=0.0, left=0.0)
    plain = augment(images, NONE, draws(), strength(0.2), norm(view))
    result = augment(images, NONE, lit, strength(0.2), norm(view))
    kept = (result != 0) & (plain != 0)
    expected = plain * (1 + LIGHT * 0.2) - LIGHT * 0.2
    torch.testing.assert_close(result[kept], expected[kept], atol=1e-2, rtol=0)
