import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import CPU, image_data, stripes
from train_core.images import (
    ImageData,
    Part,
    channel_statistics,
    images_at_once,
    whitening_filters,
)


class _Patches(TorchDispatchMode):
    """Counts the numbers in patches, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket is torch.ops.aten.im2col:
            self.numbers.append(result.numel())
        return result


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
    filtered = F.conv2d(images, whitening_filters([images])[::2]).transpose(0, 1).flatten(1)
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
    spread = F.conv2d(images, whitening_filters([images])).std((0, 2, 3))
    assert spread.min() > 0.5


def test_filters_of_batches_are_those_of_all_images() -> None:
    random = torch.Generator().manual_seed(0)
    mixed = torch.randn(12, 12, generator=random)
    images = F.fold(mixed @ torch.randn(90, 12, 64, generator=random), 16, 2, stride=2)
    images[:7] *= 3  # A mean of the batches' means would be another one.
    whole = whitening_filters([images])
    torch.testing.assert_close(whitening_filters(images.split([7, 80, 3])), whole)
    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1)
    moments = patches.T @ patches / len(patches)
    directions = whole[::2].flatten(1)
    torch.testing.assert_close(
        directions @ moments @ directions.T, torch.eye(12), atol=0.01, rtol=0
    )


@pytest.mark.parametrize(("count", "side"), [(2500, 32), (100, 128)])
def test_memory_for_patches_is_bounded_whatever_the_images(count, side) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    part = Part.of(images, np.zeros(count, dtype=np.int64), CPU)
    with _Patches() as patches:
        filters = ImageData(part, None, ("a",), mirror=True).filters
    assert torch.isfinite(filters).all()
    assert 0 < max(patches.numbers) <= 12 * images_at_once(32) * 32**2
    assert sum(patches.numbers) <= 12 * count * 32**2
