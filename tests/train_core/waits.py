"""Finds what would make the host wait for a GPU, on a machine that has none."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

METHODS = {
    "tolist", "cpu", "numpy", "item", "__array__", "__bool__", "__float__", "__int__", "__index__",
    "__repr__", "__format__", "tensor", "as_tensor",
}  # fmt: skip
"""Copies between host and device; some of them are no operation at all when both are the CPU."""

OPERATIONS = (
    "local_scalar_dense", "nonzero", "masked_select", "unique", "equal", "allclose",
    "repeat_interleave", "bincount",
)  # fmt: skip
"""Operations whose result, or its shape, has to be known on the host."""


class _Methods(TorchFunctionMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", str(func))
        places = [a for a in (*args[1:], *(kwargs or {}).values()) if is_place(a)]
        if name in METHODS or (name == "to" and places):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


class _Operations(TorchDispatchMode):
    def __init__(self, seen: list[str]) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        chosen = args[1] if name.startswith(("index", "_index", "_unsafe_index")) else ()
        masked = isinstance(chosen, list | tuple) and any(is_mask(index) for index in chosen)
        if masked or name.lstrip("_").startswith(OPERATIONS):
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def is_place(argument: object) -> bool:
    return isinstance(argument, str | torch.device)


def is_mask(index: object) -> bool:
    return isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)


@contextmanager
def waits() -> Iterator[list[str]]:
    """Yields a list that fills with the names of whatever would wait."""
    seen: list[str] = []
    with _Methods(seen), _Operations(seen):
        yield seen
