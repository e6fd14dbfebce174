import numpy as np
import pytest
import torch

from tests.conftest import image_data, stripes
from train_core.engine.augment import (
    CUT,
    FLIP_FULL_AT,
    LIGHT,
    SHIFT,
    TURN,
    WARPED,
    ZOOM,
    augment,
    draw,
    flips,
)
from train_core.images import Normalisation

SIDE = 32
CPU = torch.device("cpu")
RAW = Normalisation(torch.zeros(3), torch.full((3,), 1 / 255))
"""Leaves pixels as they are, so that results can be compared in levels of grey."""

MIDDLE = 0.5
"""The draw that means no change: shifts, angles and the rest are symmetric around it."""


def strength(value: float) -> torch.Tensor:
    return torch.tensor(value)


def pictures(count: int = 4) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)
    )


def draws(count: int = 4, **columns: float) -> torch.Tensor:
    """No change, but for the named columns."""
    names = ("x", "y", "warp", "angle", "zoom", "contrast", "brightness", "top", "left")
    values = torch.full((count, 9), MIDDLE)
    values[:, 2] = 1.0  # Not turned or zoomed.
    for name, value in columns.items():
        values[:, names.index(name)] = value
    return values


def test_strength_0_changes_nothing() -> None:
    images = pictures(64)
    random = torch.Generator().manual_seed(0)
    norm = image_data().normalisation
    flipped = flips(torch.rand(64, generator=random), torch.tensor(1), strength(0.0))
    result = augment(images, flipped, draw(64, CPU, random), strength(0.0), norm)
    torch.testing.assert_close(result, norm(images), atol=1e-4, rtol=0)


def test_flipped_images_are_mirrored_and_others_are_not() -> None:
    images = pictures()
    flipped = torch.tensor([True, False, True, False])
    result = augment(images, flipped, draws(), strength(0.0), RAW).permute(0, 2, 3, 1)
    expected = images.float()
    expected[flipped] = expected[flipped].flip(2)
    torch.testing.assert_close(result, expected, atol=0.05, rtol=0)


def test_shifts_are_whole_pixels_with_mirrored_borders() -> None:
    # 0.75 of the way to the largest shift of 8 pixels at strength 1.
    images, cutless = pictures(), draws(x=0.75, y=0.25)
    result = augment(images, torch.zeros(4, dtype=torch.bool), cutless, strength(0.5), RAW)
    reach = SHIFT * 0.5 * SIDE
    step = round(0.5 * (reach + 0.5))
    padded = np.pad(images.numpy(), [(0, 0), (8, 8), (8, 8), (0, 0)], mode="symmetric")
    expected = padded[:, 8 - step : 8 - step + SIDE, 8 + step : 8 + step + SIDE]
    outside_cut = result.permute(0, 2, 3, 1)[:, :8].numpy()
    np.testing.assert_allclose(outside_cut, expected[:, :8], atol=0.05)


def test_every_shift_up_to_the_largest_is_as_likely_as_the_others() -> None:
    ramp = torch.arange(SIDE, dtype=torch.uint8)[None, None, :, None].expand(6000, SIDE, SIDE, 3)
    random = torch.Generator().manual_seed(0)
    moved = draw(6000, CPU, random)
    moved[:, 2] = 1.0
    moved[:, 5:7] = MIDDLE
    flipped = torch.zeros(6000, dtype=torch.bool)
    s = 2 / (SHIFT * SIDE)  # Two pixels.
    result = augment(ramp, flipped, moved, strength(s), RAW)
    left = torch.round(result[:, 0, 0, 16] - 16)
    values, counts = torch.unique(left[left.abs() <= 2], return_counts=True)
    assert values.tolist() == [-2, -1, 0, 1, 2]
    assert counts.min() > 0.8 * counts.max()


def test_a_turned_image_is_sampled_where_the_rotation_says() -> None:
    images = pictures()
    # Half of the largest angle, with the cut in the far corner.
    turned = draws(warp=0.0, angle=0.75, top=0.0, left=0.0)
    result = augment(images, torch.zeros(4, dtype=torch.bool), turned, strength(1.0), RAW)
    angle = np.radians(TURN) / 2
    # The pixel 6.5 right of the middle and half a pixel below it.
    x = 6.5 * np.cos(angle) - 0.5 * np.sin(angle)
    y = 6.5 * np.sin(angle) + 0.5 * np.cos(angle)
    torch.testing.assert_close(result[:, 0, 16, 22], between(images, x, y), atol=0.05, rtol=0)


def between(images: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """The red at a place between pixels, counted from the middle."""
    left, top = int(x + 15.5), int(y + 15.5)
    along, down = x + 15.5 - left, y + 15.5 - top
    red = images[..., 0].float()
    return (
        red[:, top, left] * (1 - along) * (1 - down)
        + red[:, top, left + 1] * along * (1 - down)
        + red[:, top + 1, left] * (1 - along) * down
        + red[:, top + 1, left + 1] * along * down
    )


@pytest.mark.parametrize(("draw_of_zoom", "factor"), [(0.75, 1 + ZOOM / 2), (0.0, 1 - ZOOM)])
def test_a_zoomed_image_is_sampled_in_proportion_to_the_middle(draw_of_zoom, factor) -> None:
    images = pictures()
    zoomed = draws(warp=0.0, zoom=draw_of_zoom, top=0.0, left=0.0)
    result = augment(images, torch.zeros(4, dtype=torch.bool), zoomed, strength(1.0), RAW)
    expected = between(images, 6.5 * factor, 4.5 * factor)
    torch.testing.assert_close(result[:, 0, 20, 22], expected, atol=0.05, rtol=0)


def test_a_mirrored_image_is_turned_and_zoomed_like_any_other() -> None:
    images = pictures()
    warped = draws(warp=0.0, angle=0.9, zoom=0.8, y=0.7)
    none, all_of_them = torch.zeros(4, dtype=torch.bool), torch.ones(4, dtype=torch.bool)
    expected = augment(images.flip(2), none, warped, strength(1.0), RAW)
    result = augment(images, all_of_them, warped, strength(1.0), RAW)
    torch.testing.assert_close(result, expected, atol=0.05, rtol=0)


@pytest.mark.parametrize("s", [0.4, 1.0])
def test_a_share_of_the_images_is_turned_and_zoomed(s) -> None:
    images = pictures(1).expand(1000, SIDE, SIDE, 3)
    none = torch.zeros(1000, dtype=torch.bool)
    mostly = draws(1000, angle=0.9, zoom=0.9)
    sharp = augment(images, none, mostly, strength(s), RAW)
    mostly[:, 2] = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    warped = (augment(images, none, mostly, strength(s), RAW) != sharp).flatten(1).any(1)
    assert warped.float().mean() == pytest.approx(WARPED * s, abs=0.04)


@pytest.mark.parametrize("s", [0.25, 0.5, 1.0])
def test_the_cut_is_one_square_wholly_inside(s) -> None:
    images = torch.full((200, SIDE, SIDE, 3), 200, dtype=torch.uint8)
    random = torch.Generator().manual_seed(0)
    chances = draw(200, CPU, random)
    chances[:, :7] = draws(200)[:, :7]
    result = augment(images, torch.zeros(200, dtype=torch.bool), chances, strength(s), RAW)
    size = round(CUT * s * SIDE)
    assert ((result[:, 0] == 0).sum((1, 2)) == size * size).all()
    rows = (result[:, 0] == 0).any(2).sum(1)
    assert (rows == size).all()


def test_light_is_one_line_per_image() -> None:
    images = pictures()
    norm = image_data().normalisation
    plain = norm(images)
    lit = draws(contrast=1.0, brightness=0.0)
    result = augment(images, torch.zeros(4, dtype=torch.bool), lit, strength(0.2), norm)
    expected = plain * (1 + LIGHT * 0.2) - LIGHT * 0.2
    kept = result != 0
    torch.testing.assert_close(result[kept], expected[kept], atol=1e-3, rtol=0)


def test_each_image_has_its_own_draws() -> None:
    images = pictures(1).expand(50, SIDE, SIDE, 3)
    random = torch.Generator().manual_seed(0)
    flipped = torch.zeros(50, dtype=torch.bool)
    result = augment(images, flipped, draw(50, CPU, random), strength(0.5), RAW)
    assert len({tuple(image.flatten().tolist()) for image in result}) == 50


def test_flips_are_per_image_and_alternate() -> None:
    phase = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    first, second, third = (flips(phase, torch.tensor(e), strength(1.0)) for e in range(3))
    assert 400 < first.sum() < 600
    assert torch.equal(second, ~first)
    assert torch.equal(third, first)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_weak_augmentation_flips_a_share_of_the_images(share) -> None:
    phase = torch.rand(4000, generator=torch.Generator().manual_seed(0))
    ever = torch.zeros(4000, dtype=torch.bool)
    for epoch in range(2):
        ever |= flips(phase, torch.tensor(epoch), strength(share * FLIP_FULL_AT))
    assert ever.float().mean() == pytest.approx(share, abs=0.03)


def test_normalisation_and_stripes_agree() -> None:
    images, _ = stripes(300)
    data = image_data(train=300)
    normal = data.normalisation(torch.from_numpy(images))
    torch.testing.assert_close(normal.mean((0, 2, 3)), torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal.std((0, 2, 3)), torch.ones(3), atol=1e-3, rtol=0)
