"""Class-activation maps: exact, in the exported file alone, and where the mark is."""

import numpy as np
import onnx
import pytest
import torch

from records.metrics import read_metrics
from records.pixels.heat import ACTIVATION, heat, with_activation
from search.export.activation import heat_of_errors, map_size
from search.export.formats import _write_torch
from search.export.int8 import Quantisation, write_int8
from search.export.onnx import ExportMismatch, export_onnx, run_activation, run_onnx
from search.finalize.final import Finalize
from tests.search.conftest import FACTS, begun, run_task, winner
from tests.search.corners import SIDE, corners, learned
from tests.search.processes import TINY
from train_core.images import Normalisation
from train_core.model import TrainedModel
from train_core.networks import NetworkShape, build_network

pytestmark = pytest.mark.slow

OWN = "tests.train_core.own_builder:"


@pytest.fixture(scope="module", params=["convnet", "resnet"])
def made(request, tmp_path_factory):
    """A model, its ONNX file, and pictures with labels and corners that it has not seen."""
    folder = tmp_path_factory.mktemp(request.param)
    model = learned(request.param, folder / "model.safetensors")
    images, labels, places = corners(60, seed=7)
    assert export_onnx(folder / "model.onnx", model, torch.from_numpy(images)) < 1e-5
    return model, folder / "model.onnx", images, labels, places


def untrained(network: str, side: int = SIDE, classes: int = 3, levels: int = 0) -> TrainedModel:
    settings = {"width": 8, "depth": 1, "image_size": side, "levels": levels}
    shape = NetworkShape.of(network, settings, classes)
    built = build_network(shape)
    random = torch.Generator().manual_seed(3)
    built.reset(random, torch.randn(24, 3, 2, 2, generator=random))
    normalisation = Normalisation(torch.full((3,), 0.5), torch.full((3,), 0.25))
    names = tuple(f"class {n}" for n in range(classes))
    return TrainedModel(built.eval().requires_grad_(False), shape, normalisation, names, side)


def noise(count: int, side: int = SIDE) -> torch.Tensor:
    random = torch.Generator().manual_seed(5)
    return torch.randint(0, 256, (count, side, side, 3), generator=random, dtype=torch.uint8)


def test_the_exported_file_alone_says_in_which_corner_the_mark_is(made) -> None:
    _, path, images, labels, places = made
    predicted = run_onnx(path, images)[0].argmax(1)
    assert (predicted == labels).mean() > 0.95
    found = heat(run_activation(path, images), predicted)
    rows, columns = np.divmod(found.reshape(len(found), -1).argmax(1), found.shape[2])
    middle = (found.shape[1] - 1) / 2
    corner = np.stack([rows > middle, columns > middle], axis=1)
    assert (corner == places).all(1).mean() > 0.9
    assert (found.min((1, 2)), found.max((1, 2))) == (pytest.approx(0.0), pytest.approx(1.0))


def test_maps_of_several_levels_are_exact(tmp_path) -> None:
    model = untrained("timm/test_efficientnet", side=64, levels=3)
    assert map_size(model, noise(4, side=64)) == (2, 2)
    images = noise(3, side=64)
    embedding, maps = model.network.features_and_map(model.normalisation(images))
    export_onnx(tmp_path / "model.onnx", model, images)
    found = run_activation(tmp_path / "model.onnx", images.numpy())
    np.testing.assert_allclose(found, model.network.activation(maps).numpy(), atol=1e-4)
    logits = model.network.logits(embedding).numpy()
    np.testing.assert_allclose(found.mean((2, 3)), logits, atol=1e-4)


def test_the_mean_over_places_is_the_logits_and_onnx_says_what_torch_says(made) -> None:
    model, path, images, _, _ = made
    pixels = model.normalisation(torch.from_numpy(images))
    with torch.no_grad():
        embedding, maps = model.network.features_and_map(pixels)
        activation, logits = model.network.activation(maps), model.network(pixels)
    torch.testing.assert_close(embedding, model.network.features(pixels), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(activation.mean((2, 3)), logits, atol=1e-4, rtol=0)
    np.testing.assert_allclose(run_activation(path, images), activation.numpy(), atol=1e-4)


def test_a_pretrained_backbone_is_exact_too(tmp_path) -> None:
    model, images = untrained("timm/tf_efficientnet_lite0", side=64), noise(4, side=64)
    assert map_size(model, images) == (2, 2)
    export_onnx(tmp_path / "model.onnx", model, images)
    found = run_activation(tmp_path / "model.onnx", images.numpy())
    logits = model.network(model.normalisation(images)).numpy()
    np.testing.assert_allclose(found.mean((2, 3)), logits, atol=1e-4)


def test_whoever_asks_for_all_outputs_gets_those_of_ever(made) -> None:
    """Readers of format 1 unpack two."""
    path = made[1]
    graph = onnx.load(path).graph
    assert [output.name for output in graph.output] == ["probabilities", "embedding"]
    onnx.checker.check_model(path)
    declared = onnx.load_from_string(with_activation(path.read_bytes()))
    assert declared.graph.output[2].name == ACTIVATION
    assert declared.graph.node == graph.node


def test_other_formats_have_two_outputs_and_no_maps(made, tmp_path) -> None:
    model, plain, images, labels, _ = made
    write_int8(tmp_path / "small.onnx", plain, Quantisation(images, images, labels))
    said, whole = (run_onnx(path, images)[0] for path in (tmp_path / "small.onnx", plain))
    assert np.abs(said - whole).max() < 0.1
    graph = onnx.load(tmp_path / "small.onnx").graph
    assert not [node for node in graph.node if ACTIVATION in node.output]
    _write_torch(tmp_path / "model.pt2", model)
    assert len(torch.export.load(tmp_path / "model.pt2").module()(noise(2))) == 2


def test_a_file_whose_maps_say_something_else_is_found_out(made, tmp_path, monkeypatch) -> None:
    model, _, images, _, _ = made
    wrong = type(model.network).activation
    monkeypatch.setattr(type(model.network), "activation", lambda *given: 2 * wrong(*given))
    with pytest.raises(ExportMismatch, match="'model.onnx: activation' must be within"):
        export_onnx(tmp_path / "model.onnx", model, torch.from_numpy(images))


@pytest.mark.parametrize(
    ("network", "side", "reason"),
    [
        ("timm/vit_tiny_patch16_224", 32, "has no last map: it is not convolutional"),
        ("timm/convnext_atto", 64, "is not the mean of its last map"),
        ("timm/mobilenetv3_small_050", 64, "does not have the channels of its last map"),
        ("convnet", 16, "is a single place"),
        (f"{OWN}build", 16, "or does not offer it"),
        (f"{OWN}with_wrong_maps", 16, "is not the mean of its last map"),
    ],
)
def test_what_cannot_show_it_says_why(network, side, reason, tmp_path) -> None:
    model, images = untrained(network, side), noise(2, side)
    assert reason in map_size(model, images)
    export_onnx(tmp_path / "model.onnx", model, images)
    assert heat_of_errors(model, images, [0], reason) == {}
    with pytest.raises(Exception, match=ACTIVATION):
        run_activation(tmp_path / "model.onnx", images.numpy())


def test_maps_of_very_many_classes_are_too_large() -> None:
    reason = map_size(untrained("resnet", classes=70_000), noise(2))
    assert reason.startswith("maps of 70,000 classes at 4 x 4 places would be too large")


def test_a_network_of_ones_own_may_offer_its_map() -> None:
    assert map_size(untrained(f"{OWN}with_maps", 16), noise(2, 16)) == (7, 7)


def test_an_export_keeps_where_it_saw_its_errors(tiny_plan, worker, tmp_path) -> None:
    training = TINY["training"] | {"network": "resnet", "epochs": 1}
    plan = begun(tiny_plan(training=training))
    _, metrics = run_task(Finalize(plan, winner(plan), FACTS, tmp_path / "best"), worker)
    assert metrics.maps == read_metrics(tmp_path / "best").maps == (2, 2)
    card = (tmp_path / "best" / "README.md").read_text()
    assert "`python -m serve.predict --explain FOLDER` shows where it looks" in card
    with np.load(tmp_path / "best" / "evaluation.npz") as held:
        count, pictures = int(held["wrong_count"]), held["pictures"]
        assert held["heat"].shape == (count, 2, 2)
        assert count > 0
        said = run_onnx(tmp_path / "best" / "model.onnx", pictures[:count])[0].argmax(1)
        activation = run_activation(tmp_path / "best" / "model.onnx", pictures[:count])
        np.testing.assert_allclose(held["heat"], heat(activation, said), atol=2e-2)
