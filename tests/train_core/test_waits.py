"""The finder of waits does find them, so that its silence about a training step says something."""

import numpy as np
import pytest
import torch

from tests.train_core.waits import waits

WAITING = {
    "tolist": lambda x: x.tolist(),
    "item": lambda x: x[0].item(),
    "cpu": lambda x: x.cpu(),
    "to": lambda x: x.to("cpu"),
    "to device": lambda x: x.to(device=torch.device("cpu")),
    "numpy": lambda x: x.numpy(),
    "asarray": lambda x: np.asarray(x),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "bool": lambda x: bool(x[0] > 0),
    "index of a list": lambda x: "abcd"[x[0].long()],
    "format": lambda x: f"{x[0]:.3f}",
    "mask": lambda x: x[x > 0.5],
    "mask in the second place": lambda x: x.view(2, 2)[:, torch.tensor([True, False])],
    "assignment by mask": lambda x: x.__setitem__(x > 0.5, x[:1]),
    "masked_select": lambda x: x.masked_select(x > 0.5),
    "nonzero": lambda x: x.nonzero(),
    "where": lambda x: torch.where(x > 0.5),
    "unique": lambda x: x.unique(),
    "equal": lambda x: torch.equal(x, x),
    "numbers of the host": lambda x: x + torch.tensor([1.0, 2.0, 3.0, 4.0]),
}

HARMLESS = {
    "arithmetic": lambda x: (x * 2 + 1).sum(),
    "another type": lambda x: x.to(torch.bfloat16),
    "another layout": lambda x: x.view(1, 1, 2, 2).to(x.dtype, memory_format=torch.channels_last),
    "places": lambda x: x[torch.arange(2)],
    "take": lambda x: x.take(torch.zeros((), dtype=torch.int64)),
    "number into a mask": lambda x: x.masked_fill_(x > 0.5, 0.0),
    "shape": lambda x: len(x) + x.numel(),
}


@pytest.mark.parametrize("does", WAITING.values(), ids=WAITING)
def test_what_waits_is_seen(does) -> None:
    numbers = torch.full((4,), 0.75)
    with waits() as seen:
        does(numbers)
    assert seen


@pytest.mark.parametrize("does", HARMLESS.values(), ids=HARMLESS)
def test_what_does_not_wait_is_not(does) -> None:
    numbers = torch.full((4,), 0.75)
    with waits() as seen:
        does(numbers)
    assert seen == []
