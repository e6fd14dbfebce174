"""Part `stacked` of `benchmarks.gpu_check`: the same convolution of several networks at once.

Forward and backward pass of one 3x3 convolution of K networks, each with images and weights of its
own, captured as one CUDA graph, so that what is compared are the kernels and not their launches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gpu_machine import seconds_of
from benchmarks.gpu_part import Row, Setting, attempt, median
from train_core.device import pick_device
from train_core.engine.passes import capture

_Step = Callable[[], Tensor]
"""Runs both passes, and returns the gradients of the weights, `(K, C, C, 3, 3)`."""


@dataclass(frozen=True)
class _Work:
    """Images and gradients of the outputs `(K, B, C, S, S)`, weights `(K, C, C, 3, 3)`."""

    images: Tensor
    weights: Tensor
    gradients: Tensor

    @classmethod
    def of(cls, networks: int, channels: int, side: int, setting: Setting) -> "_Work":
        device, batch = pick_device(), 4 if setting.smoke else 256
        shapes = [(networks, batch, channels, side, side), (networks, channels, channels, 3, 3)]
        images, weights, gradients = (
            torch.randn(shape, device=device).bfloat16() for shape in (*shapes, shapes[0])
        )
        return cls(images, weights / (3 * channels**0.5), gradients)

    @property
    def flops(self) -> float:
        """Of forward pass and both gradients."""
        k, batch, channels, side, _ = self.images.shape
        return 3 * 2 * 9 * k * batch * channels**2 * side**2


def stacked(setting: Setting) -> Iterator[Row]:
    """One after the other, on streams, as a grouped convolution, as a batched matrix product."""
    sizes = [(8, 8)] if setting.smoke else [(64, 16), (256, 8)]
    for networks, (channels, side) in product((1, 4, 8), sizes):
        work = _Work.of(networks, channels, side, setting)
        reference = _one_by_one(work, torch.contiguous_format)()
        for way, build in _WAYS.items():
            what = f"{networks} networks, {channels} channels, {side}x{side}, {way}"
            yield from attempt(what, partial(_timed, what, build, work, reference))


def _timed(
    what: str, build: Callable[[_Work], _Step], work: _Work, reference: Tensor
) -> list[Row]:
    device, step = work.images.device, build(work)
    apart = ((step() - reference).float().norm() / reference.float().norm()).item()
    if device.type == "cuda":
        replay = capture(_silent(step), torch.Generator(device), device)
    elif "streams" in what:
        return [Row(what, more={"skipped": "needs a CUDA device"})]
    else:
        replay = _silent(step)
    seconds = seconds_of(replay, device, 50 if device.type == "cuda" else 1)
    more = {"TFLOP/s": work.flops / median(seconds) / 1e12, "difference": apart}
    return [Row(what, "us", tuple(1e6 * s for s in seconds), more)]


def _silent(step: _Step) -> Callable[[], None]:
    def run() -> None:
        step()

    return run


def _one_by_one(work: _Work, layout: torch.memory_format) -> _Step:
    every = [_leaves(*one, layout) for one in zip(work.images, work.weights, strict=True)]
    gradients = [g.contiguous(memory_format=layout) for g in work.gradients]

    def step() -> Tensor:
        return torch.stack([_passes(*one, g) for one, g in zip(every, gradients, strict=True)])

    return step


def _on_streams(work: _Work) -> _Step:
    if work.images.device.type != "cuda":
        return _one_by_one(work, torch.channels_last)
    layout = torch.channels_last
    every = [_leaves(*one, layout) for one in zip(work.images, work.weights, strict=True)]
    gradients = [g.contiguous(memory_format=layout) for g in work.gradients]
    aside = [torch.cuda.Stream() for _ in every]

    def step() -> Tensor:
        here, found = torch.cuda.current_stream(), []
        for stream, one, gradient in zip(aside, every, gradients, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                found.append(_passes(*one, gradient))
        for stream in aside:
            here.wait_stream(stream)
        return torch.stack(found)

    return step


def _grouped(work: _Work, layout: torch.memory_format) -> _Step:
    k = len(work.images)
    images, weights = _leaves(_side_by_side(work.images), work.weights.flatten(0, 1), layout)
    gradients = _side_by_side(work.gradients).contiguous(memory_format=layout)
    return lambda: _passes(images, weights, gradients, k).unflatten(0, (k, -1))


def _multiplied(work: _Work) -> _Step:
    """Patches of all images against all filters, with channels last throughout."""
    k, _, channels, side, _ = work.images.shape
    images = work.images.permute(0, 1, 3, 4, 2).contiguous().requires_grad_()
    filters = work.weights.permute(0, 3, 4, 2, 1).reshape(k, 9 * channels, channels)
    weights = filters.contiguous().requires_grad_()
    gradients = work.gradients.permute(0, 1, 3, 4, 2).flatten(1, 3).contiguous()

    def step() -> Tensor:
        padded = F.pad(images, (0, 0, 1, 1, 1, 1))
        shifts = [padded[:, :, i : i + side, j : j + side] for i in range(3) for j in range(3)]
        out = torch.bmm(torch.cat(shifts, -1).flatten(1, 3), weights)
        found = torch.autograd.grad(out, (images, weights), gradients)[1]
        return found.reshape(k, 3, 3, channels, channels).permute(0, 4, 3, 1, 2)

    return step


def _leaves(images: Tensor, weights: Tensor, layout: torch.memory_format) -> tuple[Tensor, Tensor]:
    there = (t.detach().contiguous(memory_format=layout) for t in (images, weights))
    first, second = (t.clone(memory_format=torch.preserve_format).requires_grad_() for t in there)
    return first, second


def _passes(images: Tensor, weights: Tensor, gradients: Tensor, groups: int = 1) -> Tensor:
    """The gradient of the weights; that of the images is computed, too."""
    out = F.conv2d(images, weights, padding=1, groups=groups)
    return torch.autograd.grad(out, (images, weights), gradients)[1]


def _side_by_side(tensor: Tensor) -> Tensor:
    """`(B, K * C, S, S)` from `(K, B, C, S, S)`."""
    return tensor.transpose(0, 1).flatten(1, 2)


_WAYS: dict[str, Callable[[_Work], _Step]] = {
    "one by one, channels_last": lambda work: _one_by_one(work, torch.channels_last),
    "one by one, contiguous": lambda work: _one_by_one(work, torch.contiguous_format),
    "streams, channels_last": _on_streams,
    "grouped, channels_last": lambda work: _grouped(work, torch.channels_last),
    "grouped, contiguous": lambda work: _grouped(work, torch.contiguous_format),
    "bmm, channels last": _multiplied,
}
