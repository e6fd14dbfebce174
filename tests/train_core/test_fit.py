import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import cross_entropy

from records.outcome import EpochRecord
from tests.conftest import CPU, image_data, stripes
from tests.train_core.waits import waits
from train_core import Diverged, OutOfMemory
from train_core.config import TrainConfig
from train_core.device import out_of_memory, still_works
from train_core.engine import Engine, EnginePool, EngineShape
from train_core.engine.captures import WARM_UP
from train_core.engine.passes import smoothed_cross_entropy
from train_core.fit import fit
from train_core.images import ImageData, Normalisation, Part
from train_core.model import score

SMALL = TrainConfig(width=4, depth=2, epochs=4, batch_size=16, lr=20.0, augment=0.3, seed=1)


def results(records: list[EpochRecord]) -> list[dict]:
    """Everything but the times."""
    return [record.model_dump(exclude={"seconds"}) for record in records]


def train(config: TrainConfig, data: ImageData, engines: EnginePool | None = None):
    return list(fit(config, data, engines))


@pytest.fixture(scope="module")
def small() -> list[dict]:
    """The results of a small training, for those who compare another one with it."""
    return results(train(SMALL, image_data()))


def test_learns(data) -> None:
    records = train(SMALL.model_copy(update={"epochs": 12}), data)
    assert records[-1].val_accuracy > 0.9
    assert records[-1].train_loss < records[0].train_loss


def test_one_record_per_epoch(data) -> None:
    records = train(SMALL, data)
    assert [record.epoch for record in records] == [1, 2, 3, 4]
    assert all(record.images == 96 for record in records)
    assert all(record.images_per_second > 0 for record in records)
    assert records[-1].lr == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_same_config_gives_the_same_records_bit_for_bit(data, optimizer, precision) -> None:
    config = SMALL.model_copy(
        update={"optimizer": optimizer, "lr": 0.5, "precision": precision, "dropout": 0.2}
    )
    assert results(train(config, data)) == results(train(config, data))


def test_another_seed_gives_other_records(data, small) -> None:
    assert results(train(SMALL.model_copy(update={"seed": 2}), data)) != small


def test_buffers_of_other_trainings_leave_no_trace(data, small) -> None:
    engines = EnginePool(data)
    others = [
        {"seed": 5, "lr": 9.0, "dropout": 0.4, "momentum": 0.5, "weight_decay": 0.3},
        {"augment": 1.0, "label_smoothing": 0.0, "epochs": 2, "schedule": "cosine", "ema": 0.5},
    ]
    for change in others:
        train(SMALL.model_copy(update=change), data, engines)
    assert engines.engine(SMALL) is engines.engine(SMALL.model_copy(update=others[0]))
    assert results(train(SMALL, data, engines)) == small


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 10.0},
        {"momentum": 0.5},
        {"weight_decay": 0.2},
        {"dropout": 0.3},
        {"augment": 0.6},
        {"label_smoothing": 0.0},
        {"schedule": "cosine"},
        {"warmup": 0.5},
        {"final_lr": 0.3},
        {"ema": 0.3},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_makes_a_difference(data, small, change) -> None:
    assert results(train(SMALL.model_copy(update=change), data)) != small


def test_the_score_is_that_of_the_averaged_weights(data) -> None:
    engines = EnginePool(data)
    config = SMALL.model_copy(update={"ema": 0.4, "precision": "fp32"})
    last = train(config, data, engines)[-1]
    engine = engines.engine(config)
    average = score(engine.average, data.validation, data.normalisation, torch.float32)
    live = score(engine._live.eval(), data.validation, data.normalisation, torch.float32)
    assert (last.val_loss, last.val_accuracy) == average
    assert live[0] != average[0]


@pytest.mark.parametrize("patience", [0, 9])
def test_only_a_score_that_can_be_the_result_is_of_all_images(patience, monkeypatch) -> None:
    monkeypatch.setattr("train_core.fit.MIDDLE_IMAGES", 50)
    data = image_data(validation=100)
    some = Part(data.validation.images[::2], data.validation.labels[::2])
    engines, dtype = EnginePool(data), torch.float32
    config = SMALL.model_copy(update={"precision": "fp32", "patience": patience})
    for record in fit(config, data, engines):
        average = engines.engine(config).average
        of_some, of_all = (
            score(average, p, data.normalisation, dtype) for p in (some, data.validation)
        )
        assert of_some != of_all
        expected = of_all if patience or record.epoch == config.epochs else of_some
        assert (record.val_loss, record.val_accuracy) == expected


@pytest.mark.parametrize(("count", "left"), [(1, 1), (9, 9), (10, 10), (11, 6), (20, 10), (21, 7)])
def test_a_subsample_is_spread_evenly(count, left) -> None:
    part = Part.of(*stripes(count), CPU)
    some = part.subsample(10)
    assert len(some) == left
    assert torch.equal(some.images, part.images[:: -(-count // 10)])


def test_the_average_is_one_of_weights_and_statistics(data) -> None:
    engine = Engine(EngineShape.of(SMALL, data), data)
    engine.start(SMALL)
    reference = engine._state.state.clone()
    engine.shuffle()
    for weight in engine._mix_table[:5]:
        engine._train_step()
        reference += weight * (engine._state.state - reference)
    torch.testing.assert_close(engine._average_state.state, reference)
    running = engine.average.blocks[0].norms[0].running_var
    assert not torch.equal(running, torch.ones_like(running))


def test_without_averaging_the_average_is_the_weights(data) -> None:
    engines = EnginePool(data)
    config = SMALL.model_copy(update={"ema": 0.0})
    train(config, data, engines)
    engine = engines.engine(config)
    assert torch.equal(engine._average_state.state, engine._state.state)


def test_overfits_one_batch() -> None:
    images, labels = stripes(16)
    labels = labels[torch.randperm(16, generator=torch.Generator().manual_seed(0))]  # Nonsense.
    part = Part.of(images, labels, CPU)
    data = ImageData(part, part, ("a", "b", "c"), mirror=True)
    config = SMALL.model_copy(
        update={"epochs": 60, "augment": 0.0, "label_smoothing": 0.0, "weight_decay": 0.0}
    )
    last = train(config, data)[-1]
    assert last.val_accuracy == 1.0
    assert last.val_loss < 0.2


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.9])
def test_the_loss_is_torchs(smoothing) -> None:
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 3, 4, 0, 1, 2])
    ours = smoothed_cross_entropy(logits, labels, torch.tensor(smoothing))
    torch.testing.assert_close(ours, cross_entropy(logits, labels, label_smoothing=smoothing))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("mixing", [{}, {"mixup": 0.5, "class_weights": "sqrt"}])
def test_the_host_never_waits_inside_an_epoch(data, optimizer, mixing) -> None:
    config = SMALL.model_copy(update={"optimizer": optimizer, "dropout": 0.2, **mixing})
    engine = Engine(EngineShape.of(config, data), data)
    engine.start(config)
    with waits() as seen:
        engine.shuffle()
        engine.run_steps(engine.steps_per_epoch)
    assert seen == []
    with waits() as seen:
        engine.run_epoch()
    assert seen == ["tolist"]


def test_not_finite_is_diverged(data) -> None:
    broken = ImageData(data.train, data.validation, data.classes, mirror=True)
    nothing = Normalisation(torch.full((3,), math.nan), torch.ones(3))
    broken.__dict__["normalisation"] = nothing
    broken.__dict__["filters"] = data.filters
    with pytest.raises(Diverged, match="diverged in epoch 1") as caught:
        train(SMALL, broken)
    assert caught.value.epoch == 1


def test_patience_ends_a_training_that_stands_still(data) -> None:
    config = SMALL.model_copy(update={"epochs": 40, "patience": 2})
    records = train(config, data)
    assert len(records) < 40
    best = max(range(len(records)), key=lambda i: (records[i].val_accuracy, -i))
    assert len(records) == best + 3


def test_without_validation_nothing_is_scored_and_patience_has_nothing_to_look_at() -> None:
    config = SMALL.model_copy(update={"patience": 1})
    records = train(config, image_data(validation=0))
    assert all(r.val_accuracy is None and r.val_loss is None for r in records)
    assert len(records) == config.epochs


def test_fewer_images_than_a_batch_are_repeated() -> None:
    records = train(SMALL.model_copy(update={"batch_size": 64}), image_data(train=24))
    assert all(record.images == 64 for record in records)


def test_digits_are_never_mirrored(data) -> None:
    ones = torch.ones(200, 16, 16, 3, dtype=torch.uint8)
    ones[:, :, :8] = 255  # Bright on the left.
    part = Part(ones, torch.zeros(200, dtype=torch.int64))
    for mirror in (True, False):
        one_sided = ImageData(part, None, ("a", "b", "c"), mirror=mirror)
        one_sided.__dict__["normalisation"] = Normalisation(torch.zeros(3), torch.ones(3))
        config = SMALL.model_copy(update={"batch_size": 200, "augment": 0.25})
        engine = Engine(EngineShape.of(config, one_sided), one_sided)
        engine.start(config)
        engine.shuffle()
        images, _ = engine._next_batch()
        flipped = images[:, 0, :, 12:].float().mean((1, 2)) > images[:, 0, :, :4].float().mean(
            (1, 2)
        )
        assert bool(flipped.any()) == mirror


def test_the_pool_lets_the_least_recently_used_shape_go(data) -> None:
    engines = EnginePool(data)
    shapes = [SMALL.model_copy(update={"batch_size": size}) for size in (8, 16, 24, 32, 40)]
    first, second, *_ = [engines.engine(shape) for shape in shapes[:4]]
    assert engines.engine(shapes[0]) is first
    engines.engine(shapes[4])
    assert len(engines.shapes) == 4
    assert engines.engine(shapes[0]) is first
    assert engines.engine(shapes[1]) is not second


class RoomForOne(EnginePool):
    """A device that holds the buffers of one shape, and none of batch size 64."""

    def engine(self, config):
        full = self.shapes and EngineShape.of(config, self.data) not in self._engines
        if full or config.batch_size == 64:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate much.\nMore.")
        return super().engine(config)


def test_buffers_of_other_trainings_make_room(data) -> None:
    engines, larger = RoomForOne(data), SMALL.model_copy(update={"batch_size": 32})
    train(SMALL, data, engines)
    assert results(train(larger, data, engines)) == results(train(larger, data))
    assert len(engines.shapes) == 1


def test_what_does_not_fit_alone_is_said(data) -> None:
    engines = RoomForOne(data)
    train(SMALL, data, engines)
    with pytest.raises(OutOfMemory, match=r"out of memory: CUDA out of memory\. Tried .* much\.$"):
        train(SMALL.model_copy(update={"batch_size": 64}), data, engines)
    assert len(engines.shapes) == 0


def test_running_out_of_memory_later_is_not_begun_again(data, monkeypatch) -> None:
    engines = EnginePool(data)
    engines.engine(SMALL.model_copy(update={"batch_size": 32}))
    records = fit(SMALL, data, engines)
    assert next(records).epoch == 1

    def run_epoch(self):
        monkeypatch.undo()  # Only once: begun again, it would go through.
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(Engine, "run_epoch", run_epoch)
    with pytest.raises(OutOfMemory):
        next(records)
    assert len(engines.shapes) == 0


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"), True),
        (RuntimeError("FIND was unable to find an engine to execute this computation"), True),
        (RuntimeError("CUDA driver error: out of memory"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (RuntimeError("The size of tensor a (3) must match"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_running_out_of_memory_has_many_names(error, expected) -> None:
    assert (out_of_memory(error) is not None) == expected


def chain(*errors: BaseException) -> BaseException:
    """The last one, raised because of or during the one before, and so on."""
    for number, (before, after) in enumerate(pairwise(errors)):
        setattr(after, "__cause__" if number % 2 else "__context__", before)
    return errors[-1]


def after_a_capture() -> RuntimeError:
    return RuntimeError("CUDA error: operation failed due to a previous error during capture")


def test_what_ran_out_is_read_from_all_that_it_led_to() -> None:
    first = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nMore.")
    found = out_of_memory(chain(first, ValueError("half-way"), after_a_capture()))
    assert found == "CUDA out of memory. Tried to allocate 2 GiB."
    assert out_of_memory(chain(MemoryError(), after_a_capture())) == "MemoryError"
    other = RuntimeError("CUDA error: operation not permitted when stream is capturing")
    last = chain(other, after_a_capture())
    assert out_of_memory(last) is None
    chain(last, other)  # A circle comes to an end.
    assert out_of_memory(last) is None


def test_the_steps_before_a_capture_fit_into_the_shortest_training(data) -> None:
    shortest = SMALL.model_copy(update={"epochs": 1, "batch_size": 96, "warmup": 0.0})
    engine = Engine(EngineShape.of(shortest, data), data)
    engine.start(shortest)
    assert engine.steps_per_epoch == 1
    engine.shuffle()
    engine.run_steps(WARM_UP)


def test_a_device_that_does_not_answer_is_noticed() -> None:
    assert still_works(CPU)
    if not torch.cuda.is_available():
        assert not still_works(torch.device("cuda"))
