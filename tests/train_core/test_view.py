"""What of an image a network sees, and at which size."""

import numpy as np
import pytest
import torch
from PIL import Image

from train_core.images import ImageData, Normalisation, Part
from train_core.images.view import View, sampling

RAW = Normalisation(torch.zeros(3), torch.full((3,), 1 / 255))


def smooth(count: int, side: int) -> torch.Tensor:
    random = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    grown = [Image.fromarray(i).resize((side, side), Image.Resampling.BICUBIC) for i in random]
    return torch.from_numpy(np.stack([np.asarray(i) for i in grown]))


def seen(images: torch.Tensor, view: View) -> torch.Tensor:
    return Normalisation(RAW.mean, RAW.std, view)(images).permute(0, 2, 3, 1)


def test_all_of_it_is_what_it_was_without_a_view() -> None:
    images = smooth(3, 16)
    assert torch.equal(seen(images, View(16, 16, 16)), RAW(images).permute(0, 2, 3, 1))


def test_a_crop_is_a_slice() -> None:
    images = smooth(3, 110)
    assert torch.equal(seen(images, View(110, 96, 96)), images[:, 7:103, 7:103].float())


@pytest.mark.parametrize("view", [View(110, 96, 40), View(64, 64, 32), View(110, 96, 95)])
def test_other_sizes_are_those_of_pillow(view) -> None:
    images, edge = smooth(3, view.stored), (view.stored - view.crop) // 2
    box, size = (edge, edge, edge + view.crop, edge + view.crop), (view.side, view.side)
    expected = [
        np.asarray(Image.fromarray(i.numpy()).resize(size, Image.Resampling.BICUBIC, box))
        for i in images
    ]
    found = seen(images, view).clamp(0, 255).numpy()
    np.testing.assert_allclose(found, np.stack(expected), atol=2)  # Pillow rounds, twice.


def test_nothing_is_skipped_where_pixels_get_fewer() -> None:
    weights = sampling(torch.tensor([56.0]), torch.tensor([7.0]), 16, 112)
    torch.testing.assert_close(weights.sum(2), torch.ones(1, 16))
    assert (weights[0].sum(0) > 0.05).all()


def test_a_negative_step_is_a_mirror() -> None:
    middle, step = torch.tensor([30.0, 30.0]), torch.tensor([2.5, -2.5])
    plain, mirrored = sampling(middle, step, 16, 64)
    torch.testing.assert_close(mirrored, plain.flip(0))


def test_views_of_data_are_those_of_a_resolution() -> None:
    part = Part(smooth(4, 110), torch.zeros(4, dtype=torch.int64))
    data = ImageData(part, None, ("a",), mirror=True, crop_size=96)
    assert data.view(None) == View(110, 96, 96)
    assert data.view(40) == View(110, 96, 40)
    assert data.normalisation(part.images).shape == (4, 3, 96, 96)
