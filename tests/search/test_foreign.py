"""Searches with networks of other people's code, and with weights to start from."""

import numpy as np
import pytest
import torch

from records.metrics import WeightsFacts, read_metrics
from search.display.summary import count, introduce
from search.finalize.calibrate import kept_predictions
from search.finalize.confirm import confirmation_config
from search.finalize.final import Finalize
from search.finalize.finish import _same_model
from search.plan.clock import Speeds
from search.workers.tasks import CheckNetworks, Machine
from tests.search.conftest import FACTS, begun, run_task, winner
from train_core.model import load_model
from train_core.networks.foreign.timm_models import create
from train_core.recipes import load_run_config

TIMM, OWN = "timm/test_efficientnet", "tests.train_core.own_builder:build"
TRAINING = {
    "network": TIMM, "optimizer": "adamw", "lr": 0.01, "epochs": 1, "batch_size": 16,
}  # fmt: skip
DEPTH = {"depth": {"type": "int", "low": 1, "high": 2}}
NETWORK = {"network": {"type": "choice", "choices": ["resnet", TIMM]}}


def introduced(plan) -> list[str]:
    return list(introduce(plan, Machine("CPU", 0, "float32"), 1, Speeds(), count([], 6)))


@pytest.mark.parametrize("network", [TIMM, OWN])
@pytest.mark.parametrize("space", ["default", "extended"])
def test_sizes_of_named_spaces_are_left_out_with_a_line(tiny_plan, network, space) -> None:
    fixed = ["network"] if space == "extended" else []
    plan = tiny_plan(
        training={**TRAINING, "network": network}, space={"name": space, "fixed": fixed}
    )
    assert not {"width", "depth", "width_gpu"} & plan.space.parameters.keys()
    said = "depth" if space == "default" else "width, depth"
    assert f"        {said} left out, since {network} has none" in introduced(plan)
    config = plan.trial_config({"dropout": 0.1}, 0)
    assert (config.network, config.width, config.depth) == (network, None, None)


def test_networks_with_sizes_keep_them_and_say_nothing(tiny_plan) -> None:
    plan = tiny_plan(space={})
    assert "depth" in plan.space.parameters
    assert not plan.left_out
    assert not any("left out" in line for line in introduced(plan))


def test_a_size_of_ones_own_space_is_refused(tiny_plan, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"depth cannot be searched, since {TIMM} has none"):
        tiny_plan(training=TRAINING, space={"parameters": DEPTH})
    (tmp_path / "mine.toml").write_text("[depth]\ntype = 'int'\nlow = 1\nhigh = 2\n")
    with pytest.raises(ValueError, match=r"depth cannot be searched.*mine.toml"):
        tiny_plan(training=TRAINING, space={"name": str(tmp_path / "mine.toml")})


@pytest.mark.parametrize("network", [TIMM, "convnet"])
def test_a_searched_network_has_a_size_where_it_can(tiny_plan, network) -> None:
    sizes = {"width": 4} if network == "convnet" else {}
    space = {"parameters": NETWORK | DEPTH}
    plan = tiny_plan(training={**TRAINING, "network": network, **sizes}, space=space)
    names = list(plan.space.parameters)
    assert names.index("network") < names.index("depth")
    depth = plan.space.parameters["depth"]
    assert not depth.applies({"network": TIMM})
    assert depth.applies({"network": "resnet"})
    of_timm = plan.trial_config({"network": TIMM}, 0)
    assert (of_timm.network, of_timm.width, of_timm.depth) == (TIMM, None, None)
    ours = plan.trial_config({"network": "resnet", "depth": 1}, 0)
    # The recipe's width, or what was asked for.
    assert (ours.network, ours.depth, ours.width) == ("resnet", 1, sizes.get("width", 16))


def test_weights_are_for_one_network(tiny_plan, tmp_path) -> None:
    training = {**TRAINING, "weights": str(tmp_path / "weights.pth")}
    with pytest.raises(ValueError, match="network cannot be searched where weights ="):
        tiny_plan(training=training, space={"parameters": NETWORK})
    with pytest.raises(ValueError, match="weights cannot be searched"):
        tiny_plan(
            training=training,
            space={"parameters": {"weights": {"type": "choice", "choices": ["none", "a"]}}},
        )


@pytest.mark.parametrize("network", ["convnet", "resnet"])
def test_weights_are_for_one_size(tiny_plan, tmp_path, network) -> None:
    training = {**TRAINING, "network": network, "weights": str(tmp_path / "weights.pth")}
    with pytest.raises(ValueError, match="depth cannot be searched where weights ="):
        tiny_plan(training=training, space={})
    plan = tiny_plan(training=training, space={"fixed": ["depth"]})
    assert "depth" not in plan.space.parameters


PATHS = {"type": "float", "low": 0.0, "high": 0.2}


@pytest.mark.parametrize("network", [TIMM, "convnet"])
@pytest.mark.parametrize("when", [{}, {"when": {"network": TIMM}}])
def test_drop_path_is_searched_where_the_network_has_it(tiny_plan, network, when) -> None:
    space = {"parameters": {"drop_path": PATHS | when} | NETWORK}
    if when:  # It may only name what is declared earlier.
        space = {"parameters": NETWORK | {"drop_path": PATHS | when}}
    plan = tiny_plan(training={**TRAINING, "network": network}, space=space)
    paths = plan.space.parameters["drop_path"]
    assert paths.applies({"network": TIMM})
    assert not paths.applies({"network": "resnet"})
    assert plan.with_drop_path == {TIMM}
    assert plan.trial_config({"network": TIMM, "drop_path": 0.2}, 0).drop_path == 0.2
    assert plan.trial_config({"network": "resnet"}, 0).drop_path == 0


def test_drop_path_is_refused_where_no_network_has_it(tiny_plan) -> None:
    for when in ({}, {"when": {"network": "resnet"}}):
        space = {"parameters": NETWORK | {"drop_path": PATHS | when}}
        if not when:
            del space["parameters"]["network"]
        with pytest.raises(ValueError, match="drop_path cannot be searched, since .* has none"):
            tiny_plan(training={**TRAINING, "network": "convnet"}, space=space)
    space = {"parameters": {"drop_path": {**PATHS, "high": 1.0}} | NETWORK}
    with pytest.raises(ValueError, match="drop_path must be less than 1"):
        tiny_plan(training={**TRAINING, "network": "convnet"}, space=space)


GROWS = {"type": "choice", "choices": ["none", "progressive"]}


def test_images_grow_for_networks_that_take_any_size(tiny_plan, worker) -> None:
    training = {**TRAINING, "network": "timm/test_vit"}
    assert tiny_plan(training=training, space={}).with_curriculum == set()
    of_ours = {"curriculum": GROWS | {"when": {"network": "resnet"}}}
    plan = tiny_plan(training=training, space={"parameters": NETWORK | of_ours})
    assert plan.with_curriculum == {"resnet"}
    for changes in (
        {"training": {**training, "curriculum": "progressive"}, "space": {}},
        {"training": training, "space": {"parameters": {"curriculum": GROWS}}},
    ):
        _, found = run_task(CheckNetworks(tiny_plan(**changes)), worker)
        assert 'curriculum must be "none"' in str(found)


def weights_in(folder) -> str:
    path = folder / "weights.pth"
    body = create(TIMM, 16)
    classifier = {"classifier.weight": torch.zeros(7, 256), "classifier.bias": torch.zeros(7)}
    torch.save({**body.state_dict(), **classifier}, path)
    return str(path)


def test_what_cannot_be_used_is_told_before_the_first_trial(tiny_plan, worker, tmp_path) -> None:
    plan = tiny_plan(training={**TRAINING, "weights": str(tmp_path / "no")}, space={})
    _, found = run_task(CheckNetworks(plan), worker)
    assert isinstance(found, ValueError)
    assert "must be" in str(found)
    plan = tiny_plan(training={**TRAINING, "network": "timm/nothing"}, space={})
    _, found = run_task(CheckNetworks(plan), worker)
    assert "network must name a model of timm" in str(found)
    assert run_task(CheckNetworks(tiny_plan()), worker)[1] is None


def moved(plan, path):
    """The plan of a later session, with the weights at another place."""
    training = plan.training.model_copy(update={"weights": str(path)})
    return plan.model_copy(update={"training": training})


def test_weights_may_move_between_trials_and_confirmations(tiny_plan, tmp_path) -> None:
    path = weights_in(tmp_path)
    plan = tiny_plan(training={**TRAINING, "weights": path}, space={}).begun_with("0" * 64)
    later, trial = moved(plan, tmp_path / "there"), winner(plan, lr=0.01).trial
    before, after = (confirmation_config(p, trial, 0) for p in (plan, later))
    assert (before.weights, after.weights) == (path, str(tmp_path / "there"))
    assert before == after.model_copy(update={"weights": path})
    (plan.folder / "confirmations").mkdir(parents=True)
    np.savez(
        plan.folder / "confirmations" / f"trial-4-seed-{before.seed}.npz",
        config=np.array(before.model_dump_json()),
        labels=np.zeros(2, int),
        probabilities=np.ones((2, 3)),
    )
    assert kept_predictions(later, 4, [after]) is not None
    assert kept_predictions(later, 4, [after.model_copy(update={"lr": 0.02})]) is None


def test_the_content_of_the_weights_is_part_of_the_fingerprint(
    tiny_plan, worker, tmp_path
) -> None:
    asked = tiny_plan(training={**TRAINING, "weights": weights_in(tmp_path)}, space={})
    _, sha256 = run_task(CheckNetworks(asked), worker)
    plan = asked.begun_with(sha256)
    assert plan.config.training["weights_sha256"] == plan.training.weights_sha256 == sha256
    fingerprint = plan.purpose().fingerprint["training"]
    assert fingerprint["weights_sha256"] == sha256
    # Another content is another study; another place is not.
    assert "weights" not in fingerprint
    other = asked.begun_with("0" * 64)
    assert other.purpose().fingerprint != plan.purpose().fingerprint


@pytest.mark.slow
def test_the_exported_folder_says_where_the_weights_are_from(tiny_plan, worker, tmp_path) -> None:
    asked = tiny_plan(training={**TRAINING, "weights": weights_in(tmp_path)}, space={})
    plan = begun(asked.begun_with(run_task(CheckNetworks(asked), worker)[1]))
    sha256, folder = plan.training.weights_sha256, tmp_path / "best"
    _, metrics = run_task(Finalize(plan, winner(plan, lr=0.01), FACTS, folder), worker)
    assert read_metrics(folder) == metrics
    assert metrics.weights == WeightsFacts(
        source="weights.pth", licence="not known: a local file", sha256=sha256
    )
    training = load_run_config(str(folder / "config.toml")).training
    assert training.weights_sha256 == sha256
    card = " ".join((folder / "README.md").read_text().split())
    assert f"A {TIMM} with" in card
    assert "weights of others: weights.pth (licence: not known" in card
    assert sha256 in card
    model = load_model(folder / "model.safetensors")
    assert model.shape.network == TIMM
    assert model.normalisation.mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert _same_model(metrics, plan, winner(plan, lr=0.01))
    assert _same_model(metrics, moved(plan, tmp_path / "there"), winner(plan, lr=0.01))
    other = plan.begun_with("0" * 64)
    assert not _same_model(metrics, other, winner(other, lr=0.01))
