"""Networks of other people's code: all that is promised of ours holds for them too."""

import pytest
import timm
import torch
from pydantic import ValidationError
from torch import nn

from search.export.formats import _write_torch
from search.export.onnx import PlainImages, export_onnx, run_onnx
from tests.conftest import image_data
from tests.train_core.saving import saved_and_loaded
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig, load_recipe, training_for
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.model import TrainedModel
from train_core.networks import NetworkShape, build_network, find_network
from train_core.networks.base import DropPath
from train_core.networks.foreign.timm_models import _without_unknown
from train_core.networks.weights.check import check_networks

OWN = "tests.train_core.own_builder:build"
CONVOLUTIONS, TRANSFORMER = "timm/test_efficientnet", "timm/test_vit"
FOREIGN = [CONVOLUTIONS, TRANSFORMER, OWN]
EVERY = ["convnet", "resnet", *FOREIGN]
FILTERS = torch.randn(24, 3, 2, 2, generator=torch.Generator().manual_seed(0))
SETTINGS = {"width": 4, "depth": 2, "image_size": 16}


def made(network: str, seed: int = 0, classes: int = 3):
    built = build_network(NetworkShape.of(network, SETTINGS, classes))
    built.reset(torch.Generator().manual_seed(seed), FILTERS)
    return built


def config(network: str, **changes) -> TrainConfig:
    keys = {"optimizer": "adamw", "lr": 0.05, "epochs": 3, "batch_size": 16, "augment": 0.3}
    paths = 0.2 if network.startswith("timm/") else 0.0
    given = {"network": network, "dropout": 0.2, "drop_path": paths, **keys, **changes}
    return TrainConfig.model_validate(given)


def facts(records):
    return [record.model_dump(exclude={"seconds"}) for record in records]


@pytest.mark.parametrize("network", FOREIGN)
def test_embedding_and_logits_are_apart(network) -> None:
    built = made(network).eval()
    images = torch.randn(2, 3, 16, 16)
    features = built.features(images)
    assert features.shape == (2, built.head.in_features)
    torch.testing.assert_close(built(images), built.logits(features))
    before = built(images)
    built.divide_logits(2.0)
    torch.testing.assert_close(built(images), before / 2)


@pytest.mark.parametrize("network", FOREIGN)
def test_a_seed_means_the_same_weights_whatever_was_there_before(network) -> None:
    one, other = made(network), made(network, seed=7)
    before = torch.get_rng_state()
    other.reset(torch.Generator().manual_seed(0), FILTERS)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    assert not torch.equal(one.head.weight, made(network, seed=1).head.weight)


@pytest.mark.parametrize("network", EVERY)
def test_stages_hold_every_parameter_of_the_backbone_once(network) -> None:
    built = made(network)
    staged = [parameter for stage in built.stage_parameters() for parameter in stage]
    head = list(built.head.parameters())
    assert {*staged}.isdisjoint(head)
    assert {*staged, *head} == {*built.parameters()}
    assert len(staged) + len(head) == len(list(built.parameters()))
    assert len(built.stage_parameters()) > 1


def test_timms_stages_go_from_the_pixels_to_the_embedding() -> None:
    built = made(CONVOLUTIONS)
    names = {parameter: name for name, parameter in built.named_parameters()}
    first, *_, last = ([names[p] for p in stage] for stage in built.stage_parameters())
    assert "body.conv_stem.weight" in first
    assert "body.conv_head.weight" in last


@pytest.mark.parametrize("network", [CONVOLUTIONS, TRANSFORMER])
def test_it_is_timms_network(network) -> None:
    """With the same weights, at another depth of paths than none, in both modes."""
    ours = made(network)
    theirs = timm.create_model(
        network.removeprefix("timm/"), num_classes=3, **_size(network), drop_path_rate=0.0
    )
    state = {n.removeprefix("body."): t for n, t in ours.state_dict().items()}
    classifier = theirs.pretrained_cfg["classifier"]
    for part in ("weight", "bias"):
        state[f"{classifier}.{part}"] = state.pop(f"head.{part}")
    missing = theirs.load_state_dict(state, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing)
    images = torch.randn(4, 3, 16, 16)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(images), theirs.train(mode)(images))


def _size(network: str) -> dict[str, int]:
    return {"img_size": 16} if network == TRANSFORMER else {}


def test_drop_path_skips_its_share_of_images_and_keeps_the_mean() -> None:
    layer = DropPath(share=0.5)
    layer.expect(4000)
    layer.rate.fill_(0.4)
    layer.draw(torch.Generator().manual_seed(0))
    kept = layer(torch.ones(4000, 2, 2))
    assert torch.equal(kept.amax((1, 2)), kept.amin((1, 2)))
    assert (kept[:, 0, 0] == 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert kept.mean() == pytest.approx(1.0, abs=0.02)
    layer.rate.zero_()
    assert torch.equal(layer(torch.ones(4000, 2)), torch.ones(4000, 2))
    assert torch.equal(layer.eval()(torch.ones(3, 2)), torch.ones(3, 2))


def test_drop_path_skips_all_parts_of_an_image() -> None:
    layer = DropPath(share=1.0)
    layer.expect(50)
    layer.rate.fill_(0.5)
    layer.draw(torch.Generator().manual_seed(0))
    whole, parts = layer(torch.ones(50, 2)), layer(torch.ones(150, 2))
    assert torch.equal(parts.view(50, 3, 2), whole[:, None].expand(-1, 3, -1))
    assert 0 < (whole == 0).float().mean() < 1


@pytest.mark.parametrize(
    "network", ["mobilevit_xxs", "ghostnet_050", "legacy_seresnet18", "rexnet_100"]
)
def test_networks_with_parts_and_dropout_of_their_own_are_trained(network) -> None:
    """Images are folded into parts; dropout is by default, hidden or in a layer."""
    name = f"timm/{network}"
    settings = {**TrainConfig(network=name).model_dump(), "image_size": 32}
    check_networks([name], settings, 3)


def test_a_rate_that_a_model_does_not_know_is_left_out() -> None:
    def model(drop_rate: float) -> nn.Module:
        return nn.Dropout(drop_rate)

    assert _without_unknown(model, {"drop_rate": 0.0, "drop_path_rate": 0.5}).p == 0
    with pytest.raises(TypeError, match="missing 1 required"):
        _without_unknown(lambda other: other, {})


def test_deeper_paths_are_skipped_more_often() -> None:
    shares = [m.share for m in made(TRANSFORMER).modules() if isinstance(m, DropPath)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


@pytest.mark.slow
@pytest.mark.parametrize("network", FOREIGN)
def test_training_leaves_no_trace_and_depends_on_nothing_else(network, data) -> None:
    engines = EnginePool(data)
    torch.manual_seed(1)
    first = list(fit(config(network), data, engines))
    list(fit(config(network, seed=5, dropout=0.0, drop_path=0.0), data, engines))
    torch.manual_seed(2)
    assert facts(fit(config(network), data, engines)) == facts(first)
    assert facts(fit(config(network, dropout=0.0), data, engines)) != facts(first)
    assert len(engines.shapes) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "optimizer"),
    [(CONVOLUTIONS, "muon"), (CONVOLUTIONS, "sgd"), (TRANSFORMER, "adamw"), (OWN, "adamw")],
)
def test_goes_on_bit_for_bit(network, optimizer, data, tmp_path) -> None:
    training = config(network, optimizer=optimizer, ema=0.2, lr=0.05)
    engines = EnginePool(data)
    whole = list(fit(training, data, engines))
    interrupted = fit(training, data, checkpoint=Checkpoint(tmp_path / "trial", every=0.0))
    next(interrupted)
    others = EnginePool(data)
    assert facts(fit(training, data, others, Checkpoint(tmp_path / "trial"))) == facts(whole)
    there = others.engine(training).snapshot()
    here = engines.engine(training).snapshot()
    assert all(torch.equal(tensor, there[name]) for name, tensor in here.items())


@pytest.mark.slow
@pytest.mark.parametrize("network", FOREIGN)
def test_it_learns_and_is_saved(network, tmp_path) -> None:
    data = image_data(train=192)
    training = config(network, epochs=12, precision="fp32", augment=0.0)
    engines = EnginePool(data)
    records = list(fit(training, data, engines))
    assert records[-1].train_loss < 0.8 * records[0].train_loss
    loaded, _ = saved_and_loaded(engines.engine(training), tmp_path, data.validation.images)
    assert loaded.shape == NetworkShape(network, (("image_size", 16),), 3)


@pytest.mark.slow
def test_a_transformer_is_exported(data, tmp_path) -> None:
    """To both formats; a whole search exports the convolutions (`tests/search`)."""
    network, images = made(TRANSFORMER).eval().requires_grad_(False), data.validation.images
    shape = NetworkShape.of(TRANSFORMER, SETTINGS, 3)
    model = TrainedModel(network, shape, data.normalisation, data.classes, 16)
    assert export_onnx(tmp_path / "model.onnx", model, images) < 1e-4
    embedding = run_onnx(tmp_path / "model.onnx", images.numpy())[1]
    with torch.no_grad():
        said, features = PlainImages(model)(images)
    torch.testing.assert_close(torch.from_numpy(embedding), features, atol=1e-3, rtol=1e-3)
    _write_torch(tmp_path / "model.pt2", model)
    program = torch.export.load(tmp_path / "model.pt2").module()
    torch.testing.assert_close(program(images)[0], said, atol=1e-5, rtol=0)


def test_the_preprocessing_is_timms() -> None:
    known = find_network("timm/tf_efficientnet_lite0").preprocessing
    assert known is not None
    assert (known.mean, known.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (known.interpolation, known.crop, known.side) == ("bicubic", 0.875, 224)
    assert find_network("convnet").preprocessing is None


@pytest.mark.parametrize("key", ["width", "depth"])
@pytest.mark.parametrize("network", [CONVOLUTIONS, OWN])
def test_sizes_are_refused_for_networks_that_have_none(network, key) -> None:
    with pytest.raises(ValidationError, match=f"{key} must be left out, since {network} has none"):
        TrainConfig(network=network, **{key: 4})
    with pytest.raises(ValueError, match=rf"{key} must be left out.*\(file 'a'\)$"):
        training_for("cpu", {"network": network, key: 4}, None, "file 'a'")
    settled = training_for("cpu", {"network": network}, None)
    assert (settled.width, settled.depth) == (None, None)
    assert TrainConfig.model_validate(settled.model_dump()) == settled
    assert settled.epochs == load_recipe("cpu").epochs


def test_a_size_is_never_missing_where_there_is_one() -> None:
    assert TrainConfig(width=None).width == TrainConfig().width == 64


def test_drop_path_is_for_networks_of_timm() -> None:
    with pytest.raises(ValidationError, match="drop_path must be left out, since only networks"):
        TrainConfig(drop_path=0.1)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("timm/resnet17", r"network must name a model of timm .*did you mean 'resnet1.*'"),
        (
            "timm/resnet18.nobody",
            "must name weights of timm's resnet18, which are .*a1_in1k.*, but",
        ),
        ("nowhere.at_all:build", "can be imported, but 'nowhere.at_all:build' cannot: No module"),
        (OWN + "er", "cannot: module 'tests.train_core.own_builder' has no attribute 'builder'"),
        (OWN.replace("build", "without_head", 1), "cannot: No module"),
        (OWN.replace(":build", ":without_head"), r"must return an nn.Module with a method feat"),
        (OWN.replace(":build", ":with_dropout"), "'stages.2' drops 0.5: choose or build one"),
        ("timm/test_vit_relpos", "drops 0.125: choose or build one without"),
        (OWN.replace(":build", ":with_hidden_dropout"), "hidden_dropout' draws random numbers of"),
        (TRANSFORMER, "must take images of 17x17 pixels, but"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_sentence(network, message) -> None:
    settings = {**TrainConfig(network=network).model_dump(), "image_size": 17}
    with pytest.raises(ValueError, match=message) as refused:
        check_networks([network], settings, 3)
    assert "\n" not in str(refused.value)


def test_a_network_without_branches_has_no_drop_path() -> None:
    settings = {**TrainConfig(network="timm/densenet121").model_dump(), "image_size": 32}
    with pytest.raises(ValueError, match="drop_path must be left out, since 'timm/densenet121'"):
        check_networks(["timm/densenet121"], settings, 3, drop_path=["timm/densenet121"])
    check_networks(["timm/densenet121"], settings, 3, drop_path=["timm/resnet18"])


@pytest.mark.parametrize("network", ["timm", "timm/", "a:b:c", "a b:c", "os.system", "timm/../x"])
def test_other_names_are_refused_at_once(network) -> None:
    with pytest.raises(ValidationError, match=r"one of convnet, resnet, timm/NAME or package"):
        TrainConfig(network=network)


def test_a_classifier_is_taken_as_it_is() -> None:
    built = build_network(NetworkShape.of("tests.train_core.test_foreign:classifier", SETTINGS, 3))
    assert type(built).__name__ == "TwoLayers"
    assert isinstance(built.head, nn.Linear)


def classifier(classes: int, image_size: int) -> nn.Module:
    from tests.train_core.two_layers import TwoLayers

    return TwoLayers(width=image_size, classes=classes)
