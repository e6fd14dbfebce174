"""What a captured or compiled step relies on, shown on a machine without a GPU."""

import shutil

import pytest
import torch
import torch._dynamo.utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from train_core.config import TrainConfig
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.fit import fit

SMALL = TrainConfig(width=8, epochs=2, batch_size=16, lr=20.0, augment=0.3, dropout=0.2)
OTHER = {"lr": 4.0, "momentum": 0.5, "dropout": 0.4, "augment": 0.6, "label_smoothing": 0.1}


class _Inputs(TorchDispatchMode):
    """Where the tensors lie that a step reads or writes and has not made itself."""

    def __init__(self) -> None:
        super().__init__()
        self.places: set[int] = set()
        self._made: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        self.places |= {_place(t) for t in given} - self._made
        result = func(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        self._made |= {_place(t) for t in made} - self.places
        return result


def _place(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def places_of(engine: Engine, config: TrainConfig) -> set[int]:
    engine.start(config)
    engine.shuffle()
    with _Inputs() as inputs:
        engine.run_steps(1)
    return inputs.places


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_every_training_of_a_shape_uses_the_same_memory(data, optimizer) -> None:
    config = SMALL.model_copy(update={"optimizer": optimizer})
    engine = Engine(EngineShape.of(config, data), data)
    first = places_of(engine, config)
    engine.run_epoch()
    assert len(first) > 10
    assert places_of(engine, config.model_copy(update=OTHER | {"seed": 5})) == first


def test_a_cuda_graph_changes_nothing_on_a_cpu(data) -> None:
    graph = SMALL.model_copy(update={"cuda_graph": True})
    for here, there in zip(fit(SMALL, data), fit(graph, data), strict=True):
        assert (here.train_loss, here.val_loss) == (there.train_loss, there.val_loss)


# What torch 2.11 says of its own code.
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")
@pytest.mark.slow
@pytest.mark.timeout(900)  # A compiler on a slow machine.
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_step_trains_as_an_eager_one_and_is_compiled_once(data) -> None:
    torch._dynamo.utils.counters.clear()
    engines = EnginePool(data)
    exact = SMALL.model_copy(update={"precision": "fp32", "depth": 1})
    for config in (exact, exact.model_copy(update=OTHER)):
        fast = config.model_copy(update={"compile": True})
        for here, there in zip(fit(config, data, engines), fit(fast, data, engines), strict=True):
            assert there.train_loss == pytest.approx(here.train_loss, rel=1e-3)
            assert there.val_loss == pytest.approx(here.val_loss, rel=1e-2)
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
