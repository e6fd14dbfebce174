import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.metrics import balanced_accuracy_score, f1_score
from torch.nn.functional import cross_entropy

from tests.conftest import CPU, image_data, stripes
from train_core.config import TrainConfig
from train_core.engine import EnginePool
from train_core.engine.passes import f1, recall
from train_core.fit import fit
from train_core.images import Part, images_at_once
from train_core.model import (
    load_model,
    logits_of,
    probabilities,
    save_model,
    score,
    scores,
    trained_model,
)
from train_core.networks import NetworkShape, build_network

DATA = image_data(validation=24)


def network():
    built = build_network(NetworkShape.of("convnet", {"width": 4, "depth": 1}, 3))
    built.reset(torch.Generator().manual_seed(0), DATA.filters)
    return built.eval()


@pytest.mark.parametrize("network", ["convnet", "resnet"])
def test_a_model_survives_its_own_file(data, tmp_path, network) -> None:
    engines = EnginePool(data)
    config = TrainConfig(network=network, width=4, depth=1, epochs=1, batch_size=32)
    list(fit(config, data, engines))
    model = trained_model(engines.engine(config))
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert (loaded.shape, loaded.classes, loaded.image_size) == (
        model.shape,
        model.classes,
        model.image_size,
    )
    images = data.validation.images
    torch.testing.assert_close(
        probabilities(loaded.network, images, loaded.normalisation),
        probabilities(model.network, images, model.normalisation),
        atol=1e-6,
        rtol=0,
    )


def test_models_of_others_are_refused(tmp_path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="must be a file that convsearch saved"):
        load_model(tmp_path / "other.safetensors")


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 1000])
def test_files_that_are_no_models_are_refused_in_one_sentence(tmp_path, content) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="must be a file that convsearch saved, but .* is not$"):
        load_model(tmp_path / "model.safetensors")


def test_as_many_images_at_once_as_a_million_pixels_hold() -> None:
    assert [images_at_once(side) for side in (16, 32, 224, 2000)] == [4000, 1000, 20, 1]


def test_scores_of_several_batches_are_those_of_one() -> None:
    count = images_at_once(16) + 5
    part = image_data(train=count).train
    mean, accuracy = score(network(), part, DATA.normalisation, torch.float32)
    with torch.no_grad():
        logits = network()(DATA.normalisation(part.images))
    torch.testing.assert_close(torch.tensor(mean), cross_entropy(logits, part.labels))
    hits = (logits.argmax(1) == part.labels).sum().item()
    # Pooled in another order, a tie may fall to the other side.
    assert abs(accuracy * count - hits) <= 2


def test_who_asks_for_logits_does_not_run_under_autocast() -> None:
    batches = logits_of(network(), DATA.train.images, DATA.normalisation, torch.bfloat16)
    logits = next(batches)
    assert logits.dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")
    assert torch.is_grad_enabled()
    # Rounded on the way, so that autocast did happen.
    exact = next(logits_of(network(), DATA.train.images, DATA.normalisation))
    assert not torch.equal(logits, exact)


def test_mirrored_views_are_averaged() -> None:
    images = DATA.validation.images
    plain = probabilities(network(), images, DATA.normalisation)
    mirror = probabilities(network(), images.flip(2), DATA.normalisation)
    both = probabilities(network(), images, DATA.normalisation, mirrored=True)
    torch.testing.assert_close(both, (plain + mirror) / 2)
    torch.testing.assert_close(plain.sum(1), torch.ones(len(images)))


@pytest.mark.parametrize("missing", [None, 1, 3])
def test_classes_count_alike_in_balanced_accuracy_and_macro_f1(missing) -> None:
    """As scikit-learn has it; F1 over the classes that there are images of."""
    random = np.random.default_rng(0)
    labels, said = random.integers(0, 4, (2, 60))
    labels[labels == missing] = 0
    true, named = torch.from_numpy(labels), torch.from_numpy(said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of classes that are predicted and not there.
        assert float(recall(true, named)) == pytest.approx(balanced_accuracy_score(labels, said))
    there = np.unique(labels)
    expected = f1_score(labels, said, labels=there, average="macro")
    assert float(f1(true, named)) == pytest.approx(expected)


def test_what_is_asked_for_is_scored() -> None:
    part = Part.of(*stripes(30), CPU)
    arguments = network(), part, DATA.normalisation, torch.float32
    plain = scores(*arguments)
    assert plain[:2] == score(*arguments)
    assert plain.chosen is None
    assert scores(*arguments, "log_loss").chosen == pytest.approx(np.exp(-plain.loss))
    # Every class has as many images.
    assert scores(*arguments, "balanced_accuracy").chosen == pytest.approx(plain.accuracy)
