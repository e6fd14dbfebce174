"""What becomes of captured steps and of memory, with a capture that works on a CPU."""

from weakref import WeakMethod, WeakSet

import pytest
import torch

from train_core import Crowded, OutOfMemory
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.engine import EnginePool, pool
from train_core.engine.captures import WARM_UP, SharedPool, captures_on
from train_core.engine.memory import MemoryUse, memory_use, stopped_by
from train_core.fit import fit

SMALL = TrainConfig(
    width=4, depth=1, epochs=2, batch_size=16, augment=0.3, precision="fp32", cuda_graph=True
)
CPU, GIB = torch.device("cpu"), 2**30


def with_batch(size: int, **changes) -> TrainConfig:
    return SMALL.model_copy(update={"batch_size": size, **changes})


class Repeats:
    """Records a step by keeping it; there is room for so many, and no more can be recorded.

    With `alone`, none can be replayed beside others.
    """

    def __init__(self, room: int = 99, *, alone: bool = False) -> None:
        self.room, self.alone = room, alone
        self.recorded: list[int] = []  # Batch sizes, in order.
        self._engines = WeakSet()

    def record(self, step, generator):
        for _ in range(WARM_UP):
            step()
        if len(self._engines) >= self.room:
            run_out_while_capturing()
        self._engines.add(step.__self__)
        self.recorded.append(step.__self__.shape.batch_size)
        kept = WeakMethod(step)

        def replay() -> None:
            if self.alone and len(self._engines) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            kept()()

        return replay


def run_out_while_capturing() -> None:
    """As torch does it: the end of a capture that has failed is what is seen."""
    try:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0\nMore."
        )
    finally:
        raise RuntimeError(
            "CUDA error: operation failed due to a previous error during capture\nMore."
        )


def losses(config, engines, checkpoint=None) -> list[tuple[int, float]]:
    records = fit(config, engines.data, engines, checkpoint)
    return [(record.epoch, record.train_loss) for record in records]


def eager(config, data) -> list[tuple[int, float]]:
    return losses(config.model_copy(update={"cuda_graph": False}), EnginePool(data))


def captured_sizes(engines) -> set[int]:
    return {shape.batch_size for shape in engines.shapes if shape.cuda_graph}


def test_nothing_is_captured_on_a_processor(data) -> None:
    assert captures_on(CPU) is None
    assert not EnginePool(data).shape(SMALL).cuda_graph


def test_captured_shapes_take_turns_and_train_as_eager_ones(data) -> None:
    captures = Repeats()
    engines = EnginePool(data, captures)
    for config in (with_batch(48), with_batch(32), with_batch(48, lr=0.2), with_batch(32)):
        assert losses(config, engines) == eager(config, data)
    assert captures.recorded == [48, 32]
    # Another length has another schedule, whose table a graph reads where it was.
    assert losses(with_batch(48, epochs=3), engines) == eager(with_batch(48, epochs=3), data)
    assert captures.recorded == [48, 32, 48]


def test_eager_trainings_let_no_captured_step_go(data, monkeypatch) -> None:
    monkeypatch.setattr(pool, "_KEPT", {False: 1, True: 2})
    engines = EnginePool(data, Repeats())
    for size in (16, 24):
        engines.engine(with_batch(size))
    for size in (8, 12, 20):
        engines.engine(with_batch(size, cuda_graph=False))
    assert {shape.batch_size for shape in engines.shapes} == {16, 24, 20}
    engines.engine(with_batch(16))
    engines.engine(with_batch(32))
    assert captured_sizes(engines) == {16, 32}
    assert len(engines.shapes) == 3


def test_the_least_recently_used_capture_makes_room_for_the_next(data) -> None:
    engines = EnginePool(data, Repeats(room=2))
    losses(with_batch(8, cuda_graph=False), engines)
    for size in (16, 24, 16):
        losses(with_batch(size), engines)
    assert losses(with_batch(32), engines) == eager(with_batch(32), data)
    assert captured_sizes(engines) == {16, 32}
    assert len(engines.shapes) == 3  # The eager one was not in the way.


def test_only_what_cannot_be_captured_alone_is_the_trainings_fault(data) -> None:
    captures = Repeats(room=2)
    engines = EnginePool(data, captures)
    for size in (16, 24):
        losses(with_batch(size), engines)
    captures.room = 0
    with pytest.raises(OutOfMemory, match=r"^out of memory: CUDA out of memory\. .* GPU 0$") as at:
        losses(with_batch(32), engines)
    assert not isinstance(at.value, Crowded)
    assert not engines.shapes


def test_a_training_goes_on_in_a_captured_engine_and_after_its_retry(data, tmp_path) -> None:
    config, path = with_batch(32, epochs=3), tmp_path / "trial.safetensors"
    before = Checkpoint(path, every=0.0)
    records = fit(config, data, EnginePool(data, Repeats()), before)
    next(records), next(records)
    records.close()
    engines = EnginePool(data, Repeats(room=1))
    losses(with_batch(32, epochs=3, lr=0.3), engines)
    assert losses(config, engines, Checkpoint(path)) == eager(config, data)
    for captures in (Repeats(room=1), Repeats(alone=True)):
        engines = EnginePool(data, captures)
        losses(with_batch(16), engines)  # Now a resumed training needs its room.
        assert losses(config, engines, Checkpoint(path)) == eager(config, data)
        assert captured_sizes(engines) == {32}


def test_a_handle_is_shared_as_long_as_somebody_holds_it() -> None:
    class Graph:
        pass

    handles = iter("abcd")
    shared, first = SharedPool(lambda: next(handles)), Graph()
    assert shared.handle() == "a"
    shared.add(first)
    second = Graph()
    assert shared.handle() == "a"
    shared.add(second)
    del first
    assert shared.handle() == "a"
    del second
    assert shared.handle() == "b"
    third = Graph()
    shared.add(third)
    shared.abandon()  # A capture has failed.
    assert shared.handle() == "c"


@pytest.mark.parametrize(
    ("use", "reason", "crowded"),
    [
        # Of 80 GiB, others hold 60; 25 would fit alone.
        ((80, 5, 15, 15), "Tried to allocate 10.00 GiB. GPU 0", True),
        ((80, 5, 15, 15), "CUDA error: out of memory", True),
        ((80, 5, 15, 15), "Tried to allocate 70.00 GiB. GPU 0", False),
        # Nobody else is there; a process has something beside its tensors.
        ((80, 9.5, 70, 60), "Tried to allocate 10.00 GiB. GPU 0", False),
        (None, "can't allocate memory", False),
    ],
)
def test_memory_that_neighbours_hold_is_not_the_trainings_fault(use, reason, crowded) -> None:
    known = None if use is None else MemoryUse(*(int(part * GIB) for part in use))
    stopped = stopped_by(reason, known)
    assert isinstance(stopped, Crowded) == crowded
    assert str(stopped).startswith("out of memory")
    assert str(stopped).endswith(reason)
    assert ("others on the device hold 64.4 GB of 85.9 GB" in str(stopped)) == crowded


def test_a_processor_is_not_shared_that_way() -> None:
    assert memory_use(CPU) is None
