"""Trainings that begin with weights: the last layer first, and then the stages before it."""

import resource
from dataclasses import replace

import numpy as np
import pytest
import torch

from records.files import is_full_disk
from tests.conftest import image_data, stripes
from train_core.checkpoint import Checkpoint
from train_core.config import TrainConfig
from train_core.data.stored import ImageRows
from train_core.engine import EnginePool, feature_steps, features_needed, known_features
from train_core.engine.frozen import features as module
from train_core.engine.frozen.features import Features
from train_core.engine.frozen.folding import folded
from train_core.fit import fit
from train_core.images import Part, StoredRows
from train_core.model import embeddings, probabilities, score, trained_model
from train_core.networks import NetworkShape, build_network

NETWORK = "timm/test_efficientnet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights of a small network, with batch statistics that are not the identity."""
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    network = build_network(NetworkShape.of(NETWORK, {"image_size": 16}, 10))
    network.reset(torch.Generator().manual_seed(0), torch.empty(0))
    network.train()
    for seed in range(3):
        images = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
        network.features(images)
    torch.save({k: v for k, v in network.state_dict().items() if not k.startswith("head.")}, path)
    return path


@pytest.fixture
def make(weights):
    """A config that starts from these weights."""

    def config(method: str = "probe", **changes) -> TrainConfig:
        return TrainConfig.model_validate({
            "network": NETWORK, "weights": str(weights), "method": method, "l2": 1e-2,
            "epochs": 2, "batch_size": 16, "lr": 0.5, "schedule": "one_cycle", **changes,
        })  # fmt: skip

    return config


def stored(folder, data, sha256: str = "a" * 64):
    """The same data, as it were in a cache: rows in another order, and some more of them."""
    count = len(data.train)
    more = stripes(20, seed=99)[0]
    images = np.concatenate([more, data.train.images.numpy(), data.validation.images.numpy()])
    rows = np.arange(20, len(images))
    kept = StoredRows(ImageRows(images), sha256, folder, rows[:count], rows[count:])
    return replace(data, stored=kept)


def facts(records) -> list[dict]:
    return [record.model_dump(exclude={"seconds"}) for record in records]


def test_a_probe_is_one_epoch_and_a_network_that_scores_as_it_says(make, data) -> None:
    engines, config = EnginePool(data), make(views=2)
    (record,) = fit(config, data, engines)
    assert record.epoch == config.epochs == 1
    assert record.images == 3 * len(data.train)
    model = trained_model(engines.engine(config))
    for part, loss, accuracy in (
        (data.train, record.train_loss, record.train_accuracy),
        (data.validation, record.val_loss, record.val_accuracy),
    ):
        found = score(model.network, part, model.normalisation, torch.float32)
        assert found == pytest.approx((loss, accuracy), abs=1e-4)
    assert record.val_accuracy > 0.5  # Of three classes.
    assert facts(fit(config, data)) == facts([record])


def test_a_penalty_and_views_are_what_a_probe_is_about(make, data) -> None:
    losses = {
        (l2, views): next(fit(make(l2=l2, views=views), data)).train_loss
        for l2, views in ((1e-3, 0), (1.0, 0), (1e-3, 3))
    }
    assert losses[1e-3, 0] < losses[1.0, 0]
    assert losses[1e-3, 0] < losses[1e-3, 3]


def test_a_probe_leaves_the_embeddings_as_they_are(make, data) -> None:
    engines, config = EnginePool(data), make(views=1)
    list(fit(config, data, engines))
    model = trained_model(engines.engine(config))
    for part, found in zip(
        (data.train, data.validation), known_features(config, data), strict=True
    ):
        expected = embeddings(model.network, part.images, model.normalisation)
        assert torch.allclose(found, expected, atol=1e-5)
    assert known_features(make("fine_tune"), data) is None


def test_levels_are_means_of_earlier_maps_beside_the_embedding(make, data, tmp_path) -> None:
    kept = stored(tmp_path, data)
    plain = Features(make(), kept).of(0)[0]
    # All levels were computed in that pass already.
    assert next(feature_steps(make(levels=2), kept)) == features_needed(make(levels=2), kept)
    found = Features(make(levels=2), kept).of(0)[0]
    assert torch.equal(found[:, : plain.shape[1]], plain)
    engines, config = EnginePool(data), make(levels=2)
    (record,) = fit(config, data, engines)
    model = trained_model(engines.engine(config))
    expected = embeddings(model.network, data.train.images, model.normalisation)
    assert torch.allclose(found, expected, atol=1e-5)
    assert found.shape[1] == model.network.head.in_features > plain.shape[1]
    after = score(model.network, data.validation, model.normalisation, torch.float32)
    assert after == pytest.approx((record.val_loss, record.val_accuracy), abs=1e-4)
    # More than the model has are all that it has.
    assert Features(make(levels=16), kept).of(0)[0].shape[1] > found.shape[1]


def test_a_fine_tuning_learns_from_levels_too(make, data) -> None:
    first, *_, last = fit(make("fine_tune", levels=2, lr=0.05, epochs=3), data)
    assert last.train_loss < first.train_loss


def test_class_weights_reach_the_last_layer_of_a_probe(make, data) -> None:
    rare = (data.train.labels > 0) | (torch.arange(len(data.train)) < 40)
    few = replace(data, train=Part(data.train.images[rare], data.train.labels[rare]))
    engines, said = EnginePool(few), {}
    for kind in ("none", "balanced"):
        config = make(class_weights=kind, l2=1.0)
        list(fit(config, few, engines))
        model = trained_model(engines.engine(config))
        shown = probabilities(model.network, data.validation.images, model.normalisation)
        said[kind] = shown[:, 0].mean()
    assert said["balanced"] > said["none"]


def test_features_are_those_of_the_network_and_the_second_view_is_mirrored(make, data) -> None:
    engines = EnginePool(data)
    list(fit(make(), data, engines))
    model = trained_model(engines.engine(make()))
    features = Features(make(views=3), data)
    for view, images in ((0, data.train.images), (1, data.train.images.flip(2))):
        expected = embeddings(model.network, images, model.normalisation)
        assert torch.allclose(features.of(view)[0], expected, atol=1e-5)
    assert not torch.equal(features.of(2)[0], features.of(3)[0])
    as_it_is = replace(data, mirror=False)
    assert not torch.allclose(Features(make(), as_it_is).of(1)[0], features.of(1)[0], atol=1e-2)


def test_trainings_share_what_is_in_the_cache(make, data, tmp_path, monkeypatch) -> None:
    kept = stored(tmp_path, data)
    config = make(views=1)
    steps = list(feature_steps(config, kept))
    assert steps[-1] == features_needed(config, kept) == 2 * 126
    assert steps == sorted(steps)
    fresh = facts(fit(config, data))
    monkeypatch.setattr(Features, "_compute", lambda *_: pytest.fail("computed again"))
    assert facts(fit(config, stored(tmp_path, data))) == fresh
    # Other rows of the same part, as in another fold.
    rows = kept.stored
    other = replace(
        kept, train=kept.validation, validation=kept.train,
        stored=replace(rows, train=rows.validation, validation=rows.train),
    )  # fmt: skip
    assert torch.equal(Features(config, other).of(0)[0], Features(config, kept).of(0)[1])


@pytest.mark.parametrize("change", ["pictures", "resolution", "mirror"])
def test_other_content_has_other_features(change, make, data, tmp_path) -> None:
    config = make(views=1)
    list(feature_steps(config, stored(tmp_path, image_data())))
    kept = stored(tmp_path, data, "b" * 64 if change == "pictures" else "a" * 64)
    if change == "resolution":
        kept = replace(kept, crop_size=12)
    if change == "mirror":
        kept = replace(kept, mirror=False)
    there = next(feature_steps(config, kept))
    assert there == (len(data.train) + len(data.validation) if change == "mirror" else 0)


def test_a_kill_loses_one_block_and_changes_no_bit(make, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 32)
    whole, cut = stored(tmp_path / "whole", data), stored(tmp_path / "cut", data)
    list(feature_steps(make(), whole))
    begun = feature_steps(make(), cut)
    assert [next(begun), next(begun), next(begun)] == [0, 32, 64]
    begun.close()
    assert next(feature_steps(make(), cut)) == 64
    assert torch.equal(Features(make(), cut).of(0)[0], Features(make(), whole).of(0)[0])


def test_what_another_process_computes_is_waited_for(make, data, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 32)
    kept, blocks = stored(tmp_path, data), []
    compute = Features._compute
    monkeypatch.setattr(
        Features, "_compute", lambda self, *rows: blocks.append(1) or compute(self, *rows)
    )
    first, second = feature_steps(make(), kept), feature_steps(make(), kept)
    assert [next(first), next(first)] == [0, 32]
    assert [next(second), next(second)] == [32, 32]
    assert list(first)[-1] == list(second)[-1] == features_needed(make(), kept)
    assert len(blocks) == 4


def test_a_cache_that_cannot_be_written_costs_time_alone(make, data, tmp_path) -> None:
    (tmp_path / "file").touch()
    assert facts(fit(make(), stored(tmp_path / "file", data))) == facts(fit(make(), data))


def test_a_full_disk_is_told(make, data, tmp_path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            list(fit(make(), stored(tmp_path, data)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_full_disk(caught.value)


def test_a_folded_backbone_has_the_same_features(weights) -> None:
    network = build_network(NetworkShape.of(NETWORK, {"image_size": 16}, 3)).eval()
    tensors = torch.load(weights)
    network.copy_state(tensors)
    images = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(5))
    copy = folded(network, images)
    norms = [m for m in copy.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert copy is not network
    assert not norms
    assert torch.allclose(copy.features(images), network.features(images), atol=1e-5)


class Upside(torch.nn.Module):
    """A norm that stands after a convolution and works before it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 3, 3), torch.nn.BatchNorm2d(3)

    def features(self, images):
        return self.conv(self.norm(images)).mean((2, 3))


def test_a_norm_that_works_elsewhere_stays() -> None:
    network = Upside().eval()
    network.norm.running_mean.fill_(1.0)
    assert folded(network, torch.randn(2, 3, 8, 8)) is network


@pytest.mark.slow
def test_a_fine_tuning_starts_from_the_probe_and_learns(make, data) -> None:
    (probe,) = fit(make(), data)
    # Without a step, the same network: batch statistics stay too.
    (record,) = fit(make("fine_tune", lr=1e-9, weight_decay=0.0, epochs=1), data)
    assert record.val_loss == pytest.approx(probe.val_loss, abs=1e-3)
    tuned = list(fit(make("fine_tune", epochs=6, lr=0.1), data))
    assert tuned[-1].train_loss < tuned[0].train_loss


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_stages_stay_and_the_others_move_by_their_shares(optimizer, make, data) -> None:
    config = make(
        "fine_tune", optimizer=optimizer, frozen_stages=2, backbone_lr=0.1, layer_decay=0.5,
        epochs=1, lr=0.1, weight_decay=0.1,
    )  # fmt: skip
    engines = EnginePool(data)
    engine = engines.engine(config)
    engine.start(config)
    before = [p.clone() for stage in engine.average.stage_parameters() for p in stage]
    statistics = engine.average.body.bn2.running_mean.clone()
    list(fit(config, data, engines))
    after = [p for stage in engine.average.stage_parameters() for p in stage]
    frozen = sum(len(stage) for stage in engine.average.stage_parameters()[:2])
    same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(same[:frozen])
    assert not any(same[frozen:])
    assert torch.equal(engine.average.body.bn2.running_mean, statistics)
    stages = engine._live.stage_parameters()
    first = [engine._state.view(engine._shares, stage[0]) for stage in stages]
    found = [float(share.flatten()[0]) for share in first]
    assert found == pytest.approx([0.0, 0.0, *(0.1 * 0.5**d for d in (3, 2, 1, 0))])


@pytest.mark.slow
def test_a_fine_tuning_goes_on_from_a_checkpoint_bit_for_bit(make, data, tmp_path) -> None:
    config = make("fine_tune", frozen_stages=1, dropout=0.2, drop_path=0.1, ema=0.1)
    engines = EnginePool(data)
    whole = list(fit(config, data, engines))
    interrupted = fit(config, data, checkpoint=Checkpoint(tmp_path / "trial", every=0.0))
    next(interrupted)
    others = EnginePool(data)
    again = list(fit(config, data, others, Checkpoint(tmp_path / "trial")))
    assert facts(again) == facts(whole)
    states = [pool.engine(config).average.state_dict() for pool in (engines, others)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.slow
def test_kinds_take_turns_in_one_pool(make, data) -> None:
    """As the trials of one study do."""
    engines = EnginePool(data)
    configs = [make(), make("fine_tune"), make(l2=1.0), make("fine_tune", frozen_stages=1)]
    alone = [facts(fit(config, data)) for config in configs]
    assert [facts(fit(config, data, engines)) for config in configs] == alone


def test_a_probe_needs_weights_to_probe() -> None:
    with pytest.raises(ValueError, match=r'weights must be .* method = "probe", but got "none"'):
        TrainConfig(method="probe")
