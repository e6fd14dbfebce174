import pytest
import torch
from torch import nn

from train_core.config import TrainConfig
from train_core.engine import Engine, EngineShape
from train_core.engine.flat import FlatState
from train_core.networks.base import BatchNorm


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 5, 3), BatchNorm(5), nn.Flatten(), nn.Linear(20, 2))


def test_values_are_kept_and_become_views() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    flat = FlatState(net, trained=True)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])
    flat.state.fill_(7.0)
    assert all((value == 7).all() for value in net.state_dict().values())


def test_gradients_land_in_the_flat_vector() -> None:
    net, reference = network(), network()
    flat = FlatState(net, trained=True)
    images = torch.randn(4, 3, 4, 4)
    for one in (net, reference):
        one(images).square().sum().backward()
    for mine, other in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(flat.view(flat.gradients, mine), other.grad)


def test_convolutions_are_channels_last_and_matrices_have_a_row_per_output() -> None:
    net = network()
    flat = FlatState(net, trained=True)
    weight = net[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    matrix = flat.matrix(flat.weights, weight)
    assert matrix.shape == (5, 27)
    torch.testing.assert_close(matrix.norm(dim=1), weight.flatten(1).norm(dim=1))


def test_parameters_come_first_and_everything_is_aligned() -> None:
    net = network()
    flat = FlatState(net, trained=True)
    trained = sum(p.numel() for p in net.parameters())
    assert trained <= len(flat.weights) < len(flat.state)
    assert all(value.data_ptr() % 64 == 0 for value in net.state_dict().values())


def test_equal_networks_have_equal_layouts() -> None:
    one, other = FlatState(network(), trained=True), FlatState(network(), trained=False)
    assert torch.equal(one.state, other.state)
    assert len(other.gradients) == 0


def test_spread_gives_every_parameter_its_value() -> None:
    net = network()
    flat = FlatState(net, trained=True)
    spread = flat.spread({net[0].weight: 2.0})
    assert (flat.view(spread, net[0].weight) == 2).all()
    assert (flat.view(spread, net[3].weight) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_that_are_not_persistent_are_settings_and_no_state(dtype) -> None:
    net, plain = network(), FlatState(network(), trained=True)
    net.register_buffer("rate", torch.tensor(0.25, dtype=dtype), persistent=False)
    flat = FlatState(net, trained=True)
    assert flat.state.shape == plain.state.shape
    flat.state.fill_(7.0)
    assert net.rate == 0.25


def test_state_that_is_not_float32_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"must be float32, but 1.num_batches_tracked is torch.in"
    ):
        FlatState(nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5)), trained=True)


def test_the_rate_of_dropout_is_not_averaged(data) -> None:
    config = TrainConfig(width=4, depth=1, epochs=1, batch_size=32, dropout=0.5)
    engine = Engine(EngineShape.of(config, data), data)
    engine.start(config)
    engine.run_epoch()
    assert (engine._live.dropout.rate, engine.average.dropout.rate) == (0.5, 0.0)
