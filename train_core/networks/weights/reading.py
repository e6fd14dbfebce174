"""Tensors from files, by name: safetensors, and state dicts of `torch.save` without any code."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

MODEL_FACTS = "convsearch"
"""The key in a file under which a saved model describes itself."""

MEAN, STD = "normalisation.mean", "normalisation.std"
"""The tensors of a saved model that are not the network's."""

# What training loops call the network's tensors in a checkpoint of more than these.
_INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model")


def read_safetensors(path: Path, key: str) -> tuple[Any, dict[str, Tensor]]:
    """What a file says of itself under this key, None if nothing, and its tensors by name.

    Raises:
        OSError: The file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get(key, "null"))
            return facts, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError:  # It is no such file, or damaged.
        return None, {}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU; counts of batches, which decide nothing, are left out.

    Raises:
        ValueError: In one sentence, if it is neither of the two kinds.
    """
    _, tensors = read_safetensors(path, MODEL_FACTS)
    found: Any = tensors or _unpickled(path)
    for inside in _INSIDE:
        if isinstance(found, dict) and isinstance(found.get(inside), dict):
            found = found[inside]
    if not found or not isinstance(found, dict):
        found = {"": None}
    if not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise ValueError(
            f"weights must be a safetensors file or a state dict that torch.load reads with "
            f"weights_only=True, but '{path}' is neither"
        )
    plain = {name.removeprefix("module."): tensor for name, tensor in found.items()}
    return {n: t for n, t in plain.items() if not n.endswith("num_batches_tracked")}


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        return None
