"""Each optimizer against torch's, on the same gradients."""

import pytest
import torch
from torch import nn

from train_core.engine.flat import FlatState
from train_core.engine.optimizers import (
    MUON_REST_LR,
    AdamW,
    Rates,
    Sgd,
    build_optimizer,
    muon_direction,
    orthogonalise,
)
from train_core.networks import NetworkShape, build_network

STEPS = 6


def rates(lr: float, momentum: float, decay: float = 0.0) -> Rates:
    return Rates(torch.tensor(lr), torch.tensor(momentum), torch.tensor(decay))


def two_networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    ours = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, 2))
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def descend(network: nn.Module, images: torch.Tensor) -> None:
    network(images).square().sum().backward()


def compare(ours, flat, update, theirs, reference, step_rates) -> None:
    random = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        images = torch.randn(5, 3, 4, 4, generator=random)
        flat.gradients.zero_()
        descend(ours, images)
        update.step(step_rates)
        reference.zero_grad()
        descend(theirs, images)
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_sgd_is_torchs_nesterov() -> None:
    ours, theirs = two_networks()
    flat = FlatState(ours, trained=True)
    none = torch.zeros_like(flat.weights)
    reference = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.8, nesterov=True)
    compare(ours, flat, Sgd(flat, none), theirs, reference, rates(0.01, 0.8))


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adamw_is_torchs(decay) -> None:
    ours, theirs = two_networks()
    flat = FlatState(ours, trained=True)
    reference = torch.optim.AdamW(
        theirs.parameters(), lr=0.01, betas=(0.8, 0.99), weight_decay=decay / 0.01
    )
    update = AdamW(flat, torch.ones_like(flat.weights))
    compare(ours, flat, update, theirs, reference, rates(0.01, 0.8, decay))


def test_sgd_decay_is_a_share_of_the_weights_whatever_the_learning_rate() -> None:
    ours, _ = two_networks()
    flat = FlatState(ours, trained=True)
    one = torch.ones_like(flat.weights)
    before = flat.weights.clone()
    Sgd(flat, one, one).step(rates(123.0, 0.9, decay=0.25))
    torch.testing.assert_close(flat.weights, before * 0.75)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(6, 6), (4, 20), (20, 4)])
def test_muon_direction_is_torchs(shape, dtype) -> None:
    random = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(shape, generator=random))
    ours, buffer = weight.detach().clone(), torch.zeros(shape)
    reference = torch.optim.Muon([weight], lr=0.1, momentum=0.7, weight_decay=0.0)
    for _ in range(STEPS):
        weight.grad = torch.randn(shape, generator=random)
        ours.sub_(0.1 * muon_direction(weight.grad, buffer, torch.tensor(0.7), dtype))
        reference.step()
    torch.testing.assert_close(ours, weight.detach(), atol=1e-2, rtol=0)
    # torch calculates in bfloat16; a wrong momentum or scale is off by far more.
    assert (ours - weight).abs().mean() < 5e-3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(8, 8), (8, 72), (72, 8)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape, dtype) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalise(matrix, dtype))
    assert values.min() > 0.5
    assert values.max() < 1.3


def test_muon_updates_convolutions_and_sgd_the_rest() -> None:
    network = build_network(NetworkShape.of("convnet", {"width": 4, "depth": 2}, 3))
    network.reset(torch.Generator().manual_seed(0), torch.zeros(24, 3, 2, 2))
    flat = FlatState(network, trained=True)
    update = build_optimizer("muon", network, flat)
    flat.gradients.normal_(generator=torch.Generator().manual_seed(1))
    head = network.head.weight.detach().clone()
    gradient = network.head.weight.grad.clone()
    update.step(rates(0.1, 0.0))
    torch.testing.assert_close(network.head.weight, head - 0.1 * MUON_REST_LR * gradient)
    conv = network.blocks[1].convs[0].weight.detach()
    # Normed to the root of its rows, then moved by an angle.
    assert conv.flatten(1).norm() == pytest.approx(16**0.5, rel=0.2)


def test_norms_are_not_decayed() -> None:
    network = build_network(NetworkShape.of("convnet", {"width": 4, "depth": 1}, 3))
    network.reset(torch.Generator().manual_seed(0), torch.zeros(24, 3, 2, 2))
    flat = FlatState(network, trained=True)
    update = build_optimizer("sgd", network, flat)
    norm = network.blocks[0].norms[0]
    torch.nn.init.ones_(norm.bias)
    flat.gradients.fill_(0.001)
    update.step(rates(1.0, 0.0, decay=0.5))
    for vector in (norm.weight, norm.bias):
        torch.testing.assert_close(vector.detach(), torch.full_like(vector, 1 - 0.001))
    assert network.head.weight.abs().mean() < 0.5  # Halved by the decay.


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
def test_reset_forgets_the_past(name) -> None:
    network = build_network(NetworkShape.of("convnet", {"width": 4, "depth": 1}, 3))
    flat = FlatState(network, trained=True)
    update = build_optimizer(name, network, flat)

    def run() -> list[torch.Tensor]:
        update.reset()
        network.reset(torch.Generator().manual_seed(0), torch.zeros(24, 3, 2, 2))
        for step in range(3):
            flat.gradients.normal_(generator=torch.Generator().manual_seed(step))
            update.step(rates(0.1, 0.9))
        return [parameter.detach().clone() for parameter in network.parameters()]

    assert all(map(torch.equal, run(), run()))
