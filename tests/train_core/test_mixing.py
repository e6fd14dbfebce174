import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tests.conftest import CPU, image_data, stripes
from train_core.config import TrainConfig
from train_core.engine import EnginePool, EngineShape
from train_core.engine.passes import mixed_cross_entropy, smoothed_cross_entropy
from train_core.fit import fit
from train_core.images import ImageData, Part
from train_core.images.mixing import Strengths, Targets, class_weights, mixed

SMALL = TrainConfig(width=4, epochs=3, batch_size=16, lr=10.0, augment=0.3)
COUNT, SIDE = 400, 20


def images() -> torch.Tensor:
    """Every image one value, its own."""
    return torch.arange(COUNT).float()[:, None, None, None].expand(-1, 3, SIDE, SIDE).contiguous()


def made(**strengths: float) -> tuple[torch.Tensor, torch.Tensor]:
    every = {"mixup": 0.0, "cutmix": 0.0, "erasing": 0.0, **strengths}
    given = Strengths(*(torch.tensor(every[name]) for name in Strengths._fields))
    return mixed(images(), given, torch.Generator().manual_seed(0))


def test_without_strengths_everything_stays() -> None:
    found, own = made()
    assert torch.equal(found, images())
    assert torch.equal(own, torch.ones(COUNT))


@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_mixup_mixes_whole_images_with_the_one_before(strength) -> None:
    found, own = made(mixup=strength)
    expected = own * torch.arange(COUNT) + (1 - own) * torch.arange(COUNT).roll(1)
    assert torch.allclose(found, expected[:, None, None, None].expand_as(found), rtol=1e-4)
    assert own.max() <= 1
    assert own.min() == pytest.approx(1 - strength / 2, abs=0.01)
    assert own.mean() == pytest.approx(1 - strength / 4, abs=0.02)


def test_cutmix_puts_in_rectangles_as_large_as_it_says() -> None:
    found, own = made(cutmix=0.5)
    numbers = torch.arange(COUNT).float()
    is_own = found == numbers[:, None, None, None]
    is_other = found == numbers.roll(1)[:, None, None, None]
    assert (is_own | is_other).all()
    assert torch.allclose(is_own[:, 0].float().mean((1, 2)), own)
    assert (own < 1).float().mean() == pytest.approx(0.5, abs=0.07)
    # A rectangle is as high in all of its columns.
    heights = is_other[:, 0].sum(1)
    assert all(len(set(h[h > 0].tolist())) <= 1 for h in heights)


def test_erasing_takes_a_rectangle_and_no_label() -> None:
    found, own = made(erasing=0.5)
    gone = (found != images()).all(1)
    share = gone.float().mean((1, 2))
    assert torch.equal(own, torch.ones(COUNT))
    assert (share > 0).float().mean() == pytest.approx(0.5, abs=0.07)
    assert share.max() <= 0.36
    # One colour each.
    for image, where in zip(found, gone, strict=True):
        assert all(len(channel[where].unique()) <= 1 for channel in image)


@pytest.mark.parametrize(
    ("kind", "expected"), [("none", [1, 1, 1]), ("sqrt", [2, 1, 4]), ("balanced", [4, 1, 16])]
)
def test_rare_classes_weigh_more_and_the_mean_stays_one(kind, expected) -> None:
    labels = torch.tensor([0] * 4 + [1] * 16 + [3])
    weights = class_weights(kind, labels, 5)
    assert weights[labels].mean() == pytest.approx(1.0)
    assert (weights[[0, 1, 3]] / weights[1]).tolist() == pytest.approx(expected)
    if kind != "none":
        assert weights[[2, 4]].tolist() == [0, 0]


def test_the_loss_is_that_of_both_labels_by_share_and_weight() -> None:
    random = torch.Generator().manual_seed(0)
    logits, own = torch.randn(8, 5, generator=random), torch.rand(8, generator=random)
    weights, smoothing = torch.rand(5, generator=random), 0.3
    labels = torch.arange(8) % 5
    others = labels.roll(1)

    def one(named):
        losses = cross_entropy(logits, named, reduction="none", label_smoothing=smoothing)
        return weights[named] * losses

    expected = (own * one(labels) + (1 - own) * one(others)).mean()
    found = mixed_cross_entropy(logits, Targets(labels, others, own, weights), torch.tensor(0.3))
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    plain = Targets(labels, others, torch.ones(8), torch.ones(5))
    assert mixed_cross_entropy(logits, plain, torch.tensor(0.3)).item() == pytest.approx(
        smoothed_cross_entropy(logits, labels, torch.tensor(0.3)).item(), rel=1e-6
    )


def test_a_training_without_it_has_another_engine_and_one_with_it_learns() -> None:
    data = image_data()
    engines = EnginePool(data)
    strong = {"mixup": 0.5, "cutmix": 0.3, "erasing": 0.3, "class_weights": "sqrt", "epochs": 14}
    config = SMALL.model_copy(update=strong)
    plain = [r.model_dump(exclude={"seconds"}) for r in fit(SMALL, data, engines)]
    *_, last = fit(config, data, engines)
    assert last.val_accuracy > 0.8
    assert EngineShape.of(SMALL, data) != EngineShape.of(config, data)
    # Another strength is another training in the same buffers.
    others = config.model_copy(update={"mixup": 0.9})
    assert engines.engine(others) is engines.engine(config)
    assert [r.model_dump(exclude={"seconds"}) for r in fit(SMALL, data, engines)] == plain
    again = list(fit(config, data, engines))
    assert again[-1].train_loss == last.train_loss


def test_a_rare_class_is_found_more_often_where_classes_weigh_alike() -> None:
    """Two classes that look the same: only the weights decide which one is said."""
    pixels, _ = stripes(64, classes=1)
    labels = np.array([0] * 56 + [1] * 8)
    part = Part.of(pixels, labels, CPU)
    data = ImageData(part, part, ("many", "few"), mirror=True)
    said = {}
    for kind in ("none", "balanced"):
        quick = {"lr": 20.0, "epochs": 12, "label_smoothing": 0.0}
        config = SMALL.model_copy(update={"class_weights": kind, **quick})
        engines = EnginePool(data)
        list(fit(config, data, engines))
        engine = engines.engine(config)
        with torch.no_grad():
            logits = engine.average(engine.normalisation(part.images))
        said[kind] = float(logits.softmax(1)[:, 1].mean())
    assert said["none"] < said["balanced"] - 0.05
    assert said["balanced"] == pytest.approx(0.5, abs=0.15)
