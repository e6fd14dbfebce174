"""What only a GPU can show; skipped by name where there is none."""

import math

import pytest
import torch

from train_core.config import TrainConfig
from train_core.data.stored import ImageRows
from train_core.device import pick_device
from train_core.engine import Engine, EnginePool, EngineShape
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
