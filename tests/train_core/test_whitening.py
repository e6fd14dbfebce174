import numpy as np
import torch
import torch.nn.functional as F

from tests.conftest import image_data, stripes
from train_core.whitening import channel_statistics, whitening_filters


def test_channel_statistics_are_those_of_the_pixels() -> None:
    images, _ = stripes(60)
    mean, std = channel_statistics(torch.from_numpy(images))
    np.testing.assert_allclose(mean, images.mean((0, 1, 2)) / 255, rtol=1e-5)
    np.testing.assert_allclose(std, images.std((0, 1, 2)) / 255, rtol=1e-5)


def test_a_constant_channel_does_not_divide_by_zero() -> None:
    mean, std = channel_statistics(torch.zeros(3, 4, 4, 3, dtype=torch.uint8))
    assert torch.equal(mean, torch.zeros(3))
    assert (std > 0).all()


def test_filtered_patches_are_white() -> None:
    data = image_data(train=600)
    images = data.normalisation(data.train.images)
    filtered = F.conv2d(images, whitening_filters(images)[::2]).transpose(0, 1).flatten(1)
    moments = filtered @ filtered.T / filtered.shape[1]
    off_diagonal = moments - torch.diag(moments.diag())
    assert off_diagonal.abs().max() < 0.02
    assert (moments.diag() <= 1.001).all()
    assert (moments.diag() > 0.9).all()


def test_every_filter_has_its_negative() -> None:
    filters = image_data().filters
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[::2], -filters[1::2])


def test_grey_images_leave_no_channel_without_signal() -> None:
    grey = torch.randn(50, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images = grey.expand(50, 3, 16, 16)
    spread = F.conv2d(images, whitening_filters(images)).std((0, 2, 3))
    assert spread.min() > 0.5
