import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from train_core.networks import NetworkShape, build_network, network_names
from train_core.networks.base import BatchNorm, Dropout
from train_core.networks.resnet import Shortcut

FILTERS = torch.randn(24, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def made(network: str = "convnet", width: int = 4, depth: int = 2, seed: int = 0):
    built = build_network(NetworkShape.of(network, {"width": width, "depth": depth}, 5))
    built.reset(torch.Generator().manual_seed(seed), FILTERS)
    return built


@pytest.mark.parametrize("network", network_names())
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [16, 32, 45])
def test_every_shape_gives_logits_and_an_embedding(network, depth, side) -> None:
    built = made(network, depth=depth).eval()
    images = torch.randn(2, 3, side, side)
    features = built.features(images)
    assert features.shape == (2, built.head.in_features)
    assert built(images).shape == (2, 5)
    torch.testing.assert_close(built(images), built.logits(features))


def test_embeddings_are_4_and_8_times_as_wide_as_the_network() -> None:
    assert (made("convnet").head.in_features, made("resnet").head.in_features) == (16, 32)


@pytest.mark.parametrize("network", network_names())
def test_a_seed_means_the_same_weights_whatever_was_there_before(network) -> None:
    one, other = made(network), made(network, seed=7)
    for parameter in other.parameters():
        parameter.data.fill_(3.0)
    other.reset(torch.Generator().manual_seed(0), FILTERS)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    third = made(network, seed=1)
    assert not torch.equal(one.head.weight, third.head.weight)


def test_whitening_is_not_trained() -> None:
    built = made()
    assert all(p.shape[2:] != (2, 2) for p in built.parameters())


@pytest.mark.parametrize(("width", "channels"), [(4, 16), (16, 16), (20, 20), (64, 24)])
def test_a_narrow_network_takes_the_strongest_directions(width, channels) -> None:
    assert torch.equal(made(width=width).whitening, FILTERS[:channels])


def test_convolutions_start_by_passing_their_inputs_on() -> None:
    conv = made(width=8).blocks[1].convs[1]
    maps = torch.randn(1, 32, 6, 6)
    torch.testing.assert_close(conv(maps), maps, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("depth", "residual"), [(2, False), (3, True)])
def test_blocks_are_residual_from_depth_3_on(depth, residual) -> None:
    block = made(depth=depth).blocks[0].eval()
    images = torch.randn(2, 16, 8, 8)
    nn.init.zeros_(block.norms[-1].weight)  # Silences the last branch.
    first = nn.functional.silu(block.norms[0](nn.functional.max_pool2d(block.convs[0](images), 2)))
    expected = nn.functional.silu(first) if residual else torch.zeros_like(first)
    torch.testing.assert_close(block(images), expected)


def test_resnet_of_width_64_and_depth_2_is_torchvisions_resnet18_for_small_images() -> None:
    reference = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=5)
    reference.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    reference.maxpool = nn.Identity()
    ours = build_network(NetworkShape.of("resnet", {"width": 64, "depth": 2}, 5))
    theirs = [v for n, v in reference.state_dict().items() if "num_batches" not in n]
    mine = ours.state_dict()
    assert [v.shape for v in theirs] == [v.shape for v in mine.values()]
    ours.load_state_dict(dict(zip(mine, theirs, strict=True)))
    images = torch.randn(2, 3, 32, 32)
    for mode in (True, False):
        torch.testing.assert_close(
            ours.train(mode)(images), reference.train(mode)(images), atol=1e-4, rtol=1e-4
        )


def test_resnet_blocks_start_as_skips() -> None:
    block = made("resnet", width=8).stages[0][0].eval()
    maps = torch.rand(1, 8, 6, 6)
    torch.testing.assert_close(block(maps), maps)


@pytest.mark.parametrize(("step", "side"), [(1, 6), (2, 6), (2, 7)])
def test_a_shortcut_is_a_strided_convolution(step, side) -> None:
    ours, theirs = Shortcut(16, 8, step), nn.Conv2d(16, 8, 1, step, bias=False)
    theirs.load_state_dict(ours.state_dict())
    maps = torch.randn(2, 16, side, side)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_batch_norm_is_torchs() -> None:
    ours = BatchNorm(4, momentum=0.3)
    theirs = nn.BatchNorm2d(4, momentum=0.3)
    images = torch.randn(6, 4, 5, 5) * 3 + 1
    for _ in range(3):
        torch.testing.assert_close(ours(images), theirs(images))
    torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate) -> None:
    ours, bare = Dropout(100), Dropout(100)
    ours.expect(400)
    ours.draw(torch.Generator().manual_seed(0))
    for layer in (ours, bare):
        layer.rate.fill_(rate)
        result = layer(torch.ones(400, 100))
        assert (result == 0).float().mean() == pytest.approx(rate, abs=0.01)
        assert result.mean() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(layer.eval()(torch.ones(3, 3)), torch.ones(3, 3))


def test_dropout_of_0_is_exact() -> None:
    features, layer = torch.randn(50, 50), Dropout(50)
    layer.expect(50)
    assert torch.equal(layer(features), features)
