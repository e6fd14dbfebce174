"""What only a GPU can show; skipped by name where there is none."""

import math

import pytest
import torch

from train_core import OutOfMemory
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.data.stored import ImageRows
from train_core.device import out_of_memory, pick_device, still_works
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.engine.captures import WARM_UP, CudaGraphs, captures_on
from train_core.fit import fit
from train_core.images import ImageData, Part
from train_core.images.off_device import OffDevice
from train_core.model import load_model, probabilities, save_model, score, trained_model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and -m gpu"),
]

SMALL = TrainConfig(width=8, depth=2, epochs=3, batch_size=16, augment=0.3, dropout=0.2)
LR = {"sgd": 20.0, "adamw": 0.5, "muon": 5.0}


@pytest.fixture
def gpu_data(data) -> ImageData:
    device = pick_device()
    parts = [Part(p.images.to(device), p.labels.to(device)) for p in (data.train, data.validation)]
    return ImageData(*parts, data.classes, data.mirror)


def config_for(optimizer: str) -> TrainConfig:
    return SMALL.model_copy(update={"optimizer": optimizer, "lr": LR[optimizer]})


@pytest.fixture
def waiting_is_an_error():
    """Turns on torch's own check, by a function, so that a warm-up can come first."""
    yield lambda: torch.cuda.set_sync_debug_mode("error")
    torch.cuda.set_sync_debug_mode("default")


@pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype")
@pytest.mark.parametrize("optimizer", LR)
def test_the_host_never_waits_for_the_gpu_inside_an_epoch(
    gpu_data, waiting_is_an_error, optimizer
) -> None:
    engine = Engine(EngineShape.of(config_for(optimizer), gpu_data), gpu_data)
    engine.start(config_for(optimizer))
    engine.shuffle()
    engine.run_steps(1)
    waiting_is_an_error()
    engine.shuffle()
    engine.run_steps(engine.steps_per_epoch)
    with pytest.raises(RuntimeError, match="synchronizing"):  # The check does check.
        engine._loss.item()


@pytest.mark.parametrize("optimizer", LR)
def test_trains_scores_and_saves_on_the_gpu(gpu_data, tmp_path, optimizer) -> None:
    assert torch.backends.cudnn.benchmark
    engines, config = EnginePool(gpu_data), config_for(optimizer)
    records = list(fit(config, gpu_data, engines))
    assert len(records) == config.epochs
    assert all(math.isfinite(record.train_loss) for record in records)
    engine = engines.engine(config)
    part, normalisation = gpu_data.validation, gpu_data.normalisation
    loss, accuracy = score(engine.average, part, normalisation, engine.shape.dtype)
    assert loss == pytest.approx(records[-1].val_loss, rel=1e-3)
    assert accuracy == pytest.approx(records[-1].val_accuracy, abs=0.05)
    save_model(tmp_path / "model.safetensors", trained_model(engine))
    loaded = load_model(tmp_path / "model.safetensors")
    here = probabilities(engine.average, part.images, normalisation).cpu()
    there = probabilities(loaded.network, part.images.cpu(), loaded.normalisation)
    torch.testing.assert_close(here, there, atol=1e-3, rtol=0)


@pytest.fixture
def repeatable(monkeypatch):
    """The fastest kernels may add up in any order; these do not."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("optimizer", LR)
def test_a_captured_step_trains_as_an_eager_one(gpu_data, optimizer) -> None:
    engines, first = EnginePool(gpu_data), config_for(optimizer)
    second = first.model_copy(update={"lr": first.lr / 2, "dropout": 0.4, "augment": 0.6})
    for config in (first, second, second.model_copy(update={"epochs": 4})):
        captured = config.model_copy(update={"cuda_graph": True})
        for here, there in zip(
            fit(config, gpu_data, engines), fit(captured, gpu_data, engines), strict=True
        ):
            assert there.train_loss == pytest.approx(here.train_loss, rel=1e-3)
            assert there.val_loss == pytest.approx(here.val_loss, rel=1e-2)
            assert there.lr == here.lr


@pytest.mark.usefixtures("repeatable")
def test_a_captured_training_is_the_same_again(gpu_data) -> None:
    config = config_for("sgd").model_copy(update={"cuda_graph": True})
    once, again = (
        [record.train_loss for record in fit(config, gpu_data, EnginePool(gpu_data))]
        for _ in range(2)
    )
    assert once == pytest.approx(again, rel=1e-4)


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("graph", [False, True])
def test_images_that_are_fed_from_the_host_train_as_those_on_the_gpu(gpu_data, graph) -> None:
    config = config_for("sgd").model_copy(update={"cuda_graph": graph})
    parts = [
        Part(OffDevice(ImageRows(part.images.cpu().numpy()), gpu_data.device), part.labels)
        for part in (gpu_data.train, gpu_data.validation)
    ]
    fed = ImageData(*parts, gpu_data.classes, gpu_data.mirror)
    for here, there in zip(fit(config, gpu_data), fit(config, fed), strict=True):
        assert there.train_loss == pytest.approx(here.train_loss, rel=1e-4)
        assert there.val_loss == pytest.approx(here.val_loss, rel=1e-3)


def captured(batch_size: int, **changes) -> TrainConfig:
    keys = {"batch_size": batch_size, "cuda_graph": True, "optimizer": "sgd", "lr": LR["sgd"]}
    return SMALL.model_copy(update={**keys, **changes})


def losses(config: TrainConfig, engines: EnginePool, checkpoint=None) -> list[float]:
    return [record.train_loss for record in fit(config, engines.data, engines, checkpoint)]


def eager(config: TrainConfig, data: ImageData) -> object:
    """What an eager training gives, to compare with."""
    plain = config.model_copy(update={"cuda_graph": False})
    return pytest.approx(losses(plain, EnginePool(data)), rel=1e-3)


@pytest.mark.usefixtures("repeatable")
def test_two_captured_shapes_take_turns_in_one_memory(gpu_data) -> None:
    engines = EnginePool(gpu_data)
    for size, lr in ((16, 20.0), (32, 20.0), (16, 10.0), (32, 5.0), (16, 20.0)):
        config = captured(size, lr=lr)
        assert losses(config, engines) == eager(config, gpu_data)
    assert len(engines.shapes) == 2


def reserved_by_captures(data: ImageData, *, shared: bool) -> int:
    """Bytes that torch has more for some shapes, which share their memory or do not."""
    torch.cuda.empty_cache()
    before, every = torch.cuda.memory_reserved(), CudaGraphs(data.device)
    pools = []
    for size in (96, 88, 80, 72):
        pools.append(EnginePool(data, every if shared else CudaGraphs(data.device)))
        losses(captured(size, width=64), pools[-1])
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved() - before


def test_captured_shapes_take_the_memory_of_the_largest(gpu_data) -> None:
    reserved_by_captures(gpu_data, shared=True)  # Libraries take their workspaces.
    apart = reserved_by_captures(gpu_data, shared=False)
    assert reserved_by_captures(gpu_data, shared=True) < apart


@pytest.mark.usefixtures("repeatable")
def test_a_capture_when_all_others_are_gone_is_the_first_again(gpu_data, monkeypatch) -> None:
    monkeypatch.setattr("train_core.engine.pool._KEPT", {False: 4, True: 1})
    engines = EnginePool(gpu_data)
    for size in (16, 32, 16):
        assert losses(captured(size), engines) == eager(captured(size), gpu_data)
    engines.clear()
    assert losses(captured(24), engines) == eager(captured(24), gpu_data)


@pytest.mark.usefixtures("repeatable")
def test_a_training_goes_on_in_a_captured_engine(gpu_data, tmp_path) -> None:
    config, path = captured(16), tmp_path / "trial.safetensors"
    undisturbed = losses(config, EnginePool(gpu_data))
    records = fit(config, gpu_data, EnginePool(gpu_data), Checkpoint(path, every=0.0))
    next(records)
    records.close()
    engines = EnginePool(gpu_data)
    losses(captured(16, lr=3.0), engines)
    assert losses(config, engines, Checkpoint(path)) == pytest.approx(undisturbed, rel=1e-3)


@pytest.fixture
def limit_memory():
    """Lets this process have no more than it has now and so many bytes."""

    def limit(more: int) -> None:
        torch.cuda.empty_cache()
        total = torch.cuda.mem_get_info()[1]
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + more) / total)

    yield limit
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("repeatable")
@pytest.mark.parametrize("graph", [False, True])
def test_what_the_device_cannot_hold_ends_the_training_and_no_more(
    gpu_data, limit_memory, graph
) -> None:
    engines = EnginePool(gpu_data)
    small = captured(16, cuda_graph=graph)
    before = losses(small, engines)
    limit_memory(2**27)
    with pytest.raises(OutOfMemory, match="^out of memory"):
        losses(captured(96, width=256, cuda_graph=graph), engines)
    assert not engines.shapes
    assert losses(small, engines) == pytest.approx(before, rel=1e-2)


def test_memory_that_runs_out_while_capturing_is_recognised(gpu_data) -> None:
    """And the next capture goes through."""
    engines, kept = EnginePool(gpu_data), []
    generator = torch.Generator(gpu_data.device)
    captures = captures_on(gpu_data.device)
    warm_up, stream = iter([True] * WARM_UP), torch.cuda.current_stream()
    counter = torch.zeros(8, device=gpu_data.device)

    def step() -> None:
        counter.add_(1)
        if not next(warm_up, False):
            kept.append(torch.empty(2**45, dtype=torch.uint8, device=gpu_data.device))

    with pytest.raises(RuntimeError) as raised:
        captures.record(step, generator)
    assert out_of_memory(raised.value)
    assert not kept
    assert torch.cuda.current_stream() == stream
    if still_works(gpu_data.device):  # Up to torch 2.11, another process would go on.
        assert losses(captured(16), engines)
