"""SGD with Nesterov momentum, AdamW and Muon on a flat vector of weights, and their schedule.

All that varies from trial to trial is read from 0-d tensors on the device, so that one captured
or compiled step serves every trial of a shape; torch's own optimizers keep momentum and weight
decay as Python numbers. Tests hold each against torch's.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from train_core.config import Optimizer, Schedule
from train_core.device import resolve_precision
from train_core.engine.flat import FlatState

# What Muon's learning rate is multiplied by for the weights that SGD updates beside it.
MUON_REST_LR = 6.0
_BETA2, _EPS = 0.99, 1e-8


@dataclass(frozen=True)
class Rates:
    """0-d tensors on the device, for one step; `decay` is the share that every weight loses."""

    lr: Tensor
    momentum: Tensor
    decay: Tensor


class Update(ABC):
    """One optimizer of the network of `flat`; `buffers` are its state from step to step."""

    def __init__(self, flat: FlatState, **buffers: Tensor) -> None:
        self._flat, self.buffers = flat, buffers

    def reset(self) -> None:
        """Forget the past, in place: a new training begins."""
        for buffer in self.buffers.values():
            buffer.zero_()

    @abstractmethod
    def step(self, rates: Rates) -> None:
        """Update the weights in place from the gradients."""


class Sgd(Update):
    """SGD with Nesterov momentum, as `torch.optim.SGD(nesterov=True)`, and decoupled decay.

    Args:
        flat: The state of the network to train.
        decayed: `(parameters,)`, multiplies the decay of each weight.
        updated: `(parameters,)`, multiplies learning rate and decay of each weight; None = 1.
    """

    def __init__(self, flat: FlatState, decayed: Tensor, updated: Tensor | None = None) -> None:
        self._decayed, self._updated = decayed, updated
        self._momentum = torch.zeros_like(flat.weights)
        super().__init__(flat, momentum=self._momentum)

    def step(self, rates: Rates) -> None:
        """Update the weights in place."""
        gradients, weights = self._flat.gradients, self._flat.weights
        self._momentum.mul_(rates.momentum).add_(gradients)
        direction = torch.addcmul(gradients, self._momentum, rates.momentum)
        weights.mul_(1 - rates.decay * _times(self._decayed, self._updated))
        weights.sub_(_times(direction, self._updated).mul_(rates.lr))


class AdamW(Update):
    """AdamW, as `torch.optim.AdamW`, with beta2 = 0.99 for short trainings; arguments as `Sgd`."""

    def __init__(self, flat: FlatState, decayed: Tensor, updated: Tensor | None = None) -> None:
        self._decayed, self._updated = decayed, updated
        self._first, self._second = torch.zeros_like(flat.weights), torch.zeros_like(flat.weights)
        # Running products of the betas, for the bias correction without a step count on the host.
        self._beta1_power, self._beta2_power = (flat.weights.new_ones(()) for _ in range(2))
        super().__init__(
            flat, first=self._first, second=self._second,
            beta1_power=self._beta1_power, beta2_power=self._beta2_power,
        )  # fmt: skip

    def reset(self) -> None:
        """Forget the past."""
        super().reset()
        self._beta1_power.fill_(1.0)
        self._beta2_power.fill_(1.0)

    def step(self, rates: Rates) -> None:
        """Update the weights in place."""
        gradients, weights = self._flat.gradients, self._flat.weights
        self._beta1_power.mul_(rates.momentum)
        self._beta2_power.mul_(_BETA2)
        self._first.lerp_(gradients, 1 - rates.momentum)
        self._second.mul_(_BETA2).addcmul_(gradients, gradients, value=1 - _BETA2)
        weights.mul_(1 - rates.decay * _times(self._decayed, self._updated))
        scale = (self._second / (1 - self._beta2_power)).sqrt_().add_(_EPS)
        direction = _times(self._first / scale, self._updated)
        weights.sub_(direction.mul_(rates.lr / (1 - self._beta1_power)))


def _times(values: Tensor, shares: Tensor | None) -> Tensor:
    return values if shares is None else values * shares


class Muon(Update):
    """Muon for convolution weights, each as one matrix; SGD with Nesterov momentum for the rest.

    The matrices are kept at a norm of the root of their rows: batch norm follows every
    convolution, so that only their direction matters and the learning rate is an angle. Weight
    decay would change nothing about a fixed norm, so only the last layer is decayed.

    Args:
        flat: The state of the network to train.
        matrices: The parameters that are updated by Muon.
        rest: Updates all others; its `updated` must be 0 at the matrices.
    """

    def __init__(self, flat: FlatState, matrices: list[nn.Parameter], rest: Sgd) -> None:
        self._rest = rest
        self._weights = [flat.matrix(flat.weights, p) for p in matrices]
        self._gradients = [flat.matrix(flat.gradients, p) for p in matrices]
        self._momenta = [torch.zeros_like(weight) for weight in self._weights]
        self._dtype = resolve_precision("auto", flat.weights.device)
        momenta = {f"momentum {i}": buffer for i, buffer in enumerate(self._momenta)}
        super().__init__(flat, **momenta, **rest.buffers)

    def step(self, rates: Rates) -> None:
        """Update the weights in place."""
        matrices = zip(self._weights, self._gradients, self._momenta, strict=True)
        for weight, gradient, buffer in matrices:
            weight.mul_(len(weight) ** 0.5 / weight.norm().clamp_min(1e-7))
            direction = muon_direction(gradient, buffer, rates.momentum, self._dtype)
            weight.sub_(direction.mul_(rates.lr))
        self._rest.step(Rates(rates.lr * MUON_REST_LR, rates.momentum, rates.decay))


def muon_direction(
    gradient: Tensor, buffer: Tensor, momentum: Tensor, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """The orthogonalised Nesterov momentum, which `torch.optim.Muon` multiplies by its rate.

    Gradient, result and `buffer`, the running mean of the gradients that is updated in place, are
    `(rows, columns)` float32.
    """
    buffer.lerp_(gradient, 1 - momentum)
    rows, columns = gradient.shape
    direction = orthogonalise(gradient.lerp(buffer, momentum), dtype)
    return direction.mul_(max(1.0, rows / columns) ** 0.5)


def orthogonalise(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Move all singular values of a matrix to about 0.7 to 1.2, by five steps of Newton-Schulz.

    It calculates in `dtype`: bfloat16 is enough, but slow where the processor has none.
    """
    # Of the quintic iteration with the steepest slope at zero (Jordan et al., 2024).
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    wide = matrix.to(dtype).T if tall else matrix.to(dtype)
    wide = wide / wide.norm().clamp_min(1e-7)
    for _ in range(5):
        gram = wide @ wide.T
        wide = torch.addmm(wide, torch.addmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.T if tall else wide).float()


def build_optimizer(
    name: Optimizer, network: nn.Module, flat: FlatState, updated: Tensor | None = None
) -> Update:
    """The optimizer of this name; it decays matrices and convolutions, not biases and scales.

    `updated`, for all but Muon, is as in `Sgd`.
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    decayed = flat.spread({p: float(p.ndim > 1) for p in parameters})
    if name == "adamw":
        return AdamW(flat, decayed, updated)
    if name == "sgd":
        return Sgd(flat, decayed, updated)
    matrices = [p for p in parameters if p.ndim == 4]
    rest = flat.spread({p: float(p.ndim != 4) for p in parameters})
    return Muon(flat, matrices, Sgd(flat, decayed * rest, rest))


def lr_table(schedule: Schedule, total: int, warmup: float, final: float) -> list[float]:
    """Learning rates of all steps of a training, in order, as shares of the peak in [0, 1].

    The peak is reached at step `warmup * total - 1`, or at step 0 without warm-up; the last step,
    `total - 1`, has exactly `final`. With `one_cycle`, a warm-up of 0.3 and `final` = 4e-6, this
    is `torch.optim.lr_scheduler.OneCycleLR` with its defaults.
    """
    peak = max(warmup * total - 1, 0.0)
    # Where the way up begins.
    start = {"triangle": 0.2, "one_cycle": 0.04, "cosine": 0.0}[schedule]

    def factor(step: int) -> float:
        if step < peak:
            way = step / peak
            return start + (1 - start) * (_half_cosine(way) if schedule == "one_cycle" else way)
        way = (step - peak) / max(total - 1 - peak, 1e-12) if total > 1 else 0.0
        return 1 + (final - 1) * (way if schedule == "triangle" else _half_cosine(way))

    return [factor(step) for step in range(total)]


def average_table(span: float, total: int) -> list[float]:
    """How much of the current weights each of all steps mixes into their average, in (0, 1].

    The average follows the weights closely at first, so that the early epochs are not judged by
    the initial weights, and settles at a span of `span * total` steps; without a span it is always
    the current weights.
    """
    steady = 1 / max(span * total, 1.0)
    return [max(steady, 9 / (10 + step)) if span else 1.0 for step in range(total)]


def _half_cosine(way: float) -> float:
    return (1 - math.cos(math.pi * way)) / 2
