import csv
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from records.metrics import Metrics, read_metrics
from records.statistics import Spread
from search.export.onnx import ExportMismatch, export_onnx, run_onnx
from search.finalize.calibrate import at_temperature
from search.finalize.confirm import Confirm, confirmation_config
from search.finalize.familiarity import NO_GAPS
from search.finalize.final import Finalize
from search.finalize.finish import _same_model
from search.workers.events import Warned
from serve.model import Model
from studies.attributes import TEST_EVALUATIONS
from studies.study import find
from tests.conftest import write_pictures
from tests.search.conftest import FACTS, begun, new_worker, plan_in, run_task, winner
from tests.search.processes import TINY
from train_core.config import TrainConfig
from train_core.data.prepare import load_part
from train_core.engine import EnginePool
from train_core.fit import fit
from train_core.images import Normalisation
from train_core.model import TrainedModel, load_model, probabilities, trained_model
from train_core.recipes import load_run_config

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    root = tmp_path_factory.mktemp("exported")
    write_pictures(root / "pictures")
    learnt, tested = (root / "pictures" / part / "a" / "000.png" for part in ("train", "test"))
    shutil.copy(learnt, tested)
    plan = begun(plan_in(root, training={**TINY["training"], "epochs": 15, "lr": 16.0}))
    folder = root / "best"
    _, metrics = run_task(Finalize(plan, winner(plan), FACTS, folder), new_worker())
    return plan, folder, metrics


def test_the_folder_is_whole(exported) -> None:
    plan, folder, metrics = exported
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.toml", "model.safetensors", "model.onnx", "metrics.json", "evaluation.npz",
        "README.md", "predictions.csv",
    }  # fmt: skip
    assert read_metrics(folder) == metrics
    assert metrics.validation.accuracy == 0.9
    assert metrics.confirmed == Spread.of([0.8, 0.9])
    assert metrics.selection_gap == pytest.approx(0.05)
    assert metrics.test.n == metrics.test_tta.n == 15
    low, high = metrics.test.interval_95
    assert low <= metrics.test.accuracy <= high
    assert metrics.test.accuracy > 0.6
    assert len(metrics.curves["train_loss"]) == 15
    card = (folder / "README.md").read_text()
    assert f"{metrics.test.accuracy:.2%} right" in card
    assert "15 test images" in card
    assert "A convnet of width 4 and depth 2 with" in card
    assert metrics.weights is None
    assert "weights of others" not in card


def test_an_export_of_an_earlier_version_is_known_again(exported) -> None:
    plan, _, metrics = exported
    older = metrics.model_dump(mode="json")
    for key in ("drop_path", "weights", "weights_sha256"):
        del older["training"][key]
    assert _same_model(Metrics.model_validate(older), plan, winner(plan))


def test_what_was_found_in_the_data_is_kept(exported) -> None:
    plan, folder, metrics = exported
    assert read_metrics(folder).data.findings == plan.data.findings
    assert metrics.test_without_copies.n == 14
    card = " ".join((folder / "README.md").read_text().split())
    assert "of which 1 are copies of images that it was trained on: " in card
    assert "neither the training nor the search had seen" not in card
    assert "- classes: a 25, b 25, c 25" in card
    assert "- warning: 1 of 15 test pictures are exact copies of train pictures" in card
    assert "| test accuracy without copies of training images |" in card


def test_all_training_images_are_used_and_nothing_is_validated(exported) -> None:
    plan, folder, metrics = exported
    assert metrics.curves["images"][0] == 48  # Three batches of 16 of all 60 images.
    assert metrics.curves["val_accuracy"] == [None] * 15
    run = load_run_config(str(folder / "config.toml"))
    assert run.data.train_on_validation
    assert run.data.dataset == str(folder.parent / "pictures")
    assert run.data.content == plan.data.content
    assert run.training.lr == 16.0
    assert run.training.seed != plan.trial_config({}, 0).seed


def test_onnx_says_what_training_says_about_plain_images(exported) -> None:
    plan, folder, _ = exported
    images = np.array(load_part(plan.data, "test").images)
    model = load_model(folder / "model.safetensors")
    expected = probabilities(model.network, torch.from_numpy(images), model.normalisation)
    got, embedding = run_onnx(folder / "model.onnx", images)
    np.testing.assert_allclose(got, expected.numpy(), atol=1e-4)
    features = model.network.features(model.normalisation(torch.from_numpy(images)))
    np.testing.assert_allclose(embedding, features.numpy(), atol=1e-4)
    one, _ = run_onnx(folder / "model.onnx", images[:1])
    np.testing.assert_allclose(one, got[:1], atol=1e-6)
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("images", "tensor(uint8)", [16, 16, 3])


def test_the_evaluation_holds_what_a_report_needs(exported) -> None:
    plan, folder, metrics = exported
    with np.load(folder / "evaluation.npz") as held:
        assert held["probabilities"].shape == (15, 3)
        accuracy = (held["probabilities"].argmax(1) == held["labels"]).mean()
        assert accuracy == pytest.approx(metrics.test.accuracy)
        test = load_part(plan.data, "test").images
        np.testing.assert_array_equal(held["pictures"], test[held["picture_rows"]])
        wrong = held["picture_rows"][: held["wrong_count"]]
        assert (held["probabilities"][wrong].argmax(1) != held["labels"][wrong]).all()


def lines_of(folder) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_test_picture_has_its_name(exported) -> None:
    plan, folder, metrics = exported
    lines = lines_of(folder)
    assert [line["path"] for line in lines] == list(plan.data.paths("test"))
    assert {line["part"] for line in lines} == {"test"}
    right = sum(line["true"] == line["predicted"] for line in lines)
    assert right / len(lines) == metrics.test.accuracy
    with np.load(folder / "evaluation.npz") as held:
        said, labels = held["probabilities"], held["labels"]
        paths = [lines[row]["path"] for row in held["picture_rows"]]
        assert held["picture_paths"].tolist() == paths
    for line, row, label in zip(lines, said, labels, strict=True):
        # The folder of a picture is its class.
        assert Path(line["path"]).parent.name == line["true"] == plan.data.classes[label]
        assert float(line["true_probability"]) == pytest.approx(row[label], rel=1e-3)
        assert float(line["predicted_probability"]) == pytest.approx(row.max(), rel=1e-3)
    assert metrics.label_errors is None


def test_the_evaluation_shows_what_augmentation_does(exported) -> None:
    plan, folder, metrics = exported
    train = load_part(plan.data, "train")
    with np.load(folder / "evaluation.npz") as held:
        shown, strengths = held["augmented"], held["augment_strengths"]
    assert shown.shape == (3, len(strengths), 16, 16, 3)
    assert metrics.training["augment"] in strengths.astype(np.float64)
    assert (np.diff(strengths) > 0).all()
    # Strength 0 leaves a picture as it is, and more changes more of it.
    labels = np.asarray(train.labels)
    first = [int(np.flatnonzero(labels == label)[0]) for label in range(3)]
    np.testing.assert_array_equal(shown[:, 0], train.images[first])
    changed = np.abs(shown.astype(int) - shown[:, :1]).mean((0, 2, 3, 4))
    assert changed[0] == 0 < changed[1] < changed[-1]


def test_normalisation_is_that_of_the_final_training_images(exported) -> None:
    plan, folder, _ = exported
    images = load_part(plan.data, "train").images
    model = load_model(folder / "model.safetensors")
    np.testing.assert_allclose(model.normalisation.mean, images.mean((0, 1, 2)) / 255, rtol=1e-4)


def test_an_earlier_export_is_kept_and_letters_are_not_mirrored(
    exported, worker, tmp_path
) -> None:
    plan, folder = exported[0], tmp_path / "best"
    shutil.copytree(exported[1], folder)
    plan = plan.model_copy(update={"data": plan.data.model_copy(update={"mirror": False})})
    _, metrics = run_task(Finalize(plan, winner(plan, lr=1.0), FACTS, folder), worker)
    assert read_metrics(folder) == metrics
    assert metrics.training["lr"] == 1.0
    assert metrics.test_tta is None
    assert "test_tta" not in json.loads((folder / "metrics.json").read_text())
    assert "mirrored views" not in (folder / "README.md").read_text()
    assert read_metrics(folder.with_name("best-1")) == exported[2]


def test_a_test_evaluation_is_counted_although_the_export_fails(
    tiny_plan, worker, tmp_path, monkeypatch
) -> None:
    plan = begun(tiny_plan())
    task = Finalize(plan, winner(plan), FACTS, tmp_path / "best")
    monkeypatch.setattr("search.export.onnx.TOLERANCE", -1.0)
    with pytest.raises(ExportMismatch):
        run_task(task, worker)
    assert find(plan.place).user_attrs[TEST_EVALUATIONS] == 1
    assert not (tmp_path / "best").exists()


def test_a_stopped_final_training_exports_nothing(tiny_plan, worker, tmp_path) -> None:
    plan = begun(tiny_plan())
    worker._stop.set()
    _, metrics = run_task(Finalize(plan, winner(plan), FACTS, tmp_path / "best"), worker)
    assert metrics is None
    assert not (tmp_path / "best").exists()


def test_a_final_training_that_diverges_is_tried_with_other_seeds(
    tiny_plan, worker, tmp_path
) -> None:
    plan = begun(tiny_plan())
    task = Finalize(plan, winner(plan, lr=1e38), FACTS, tmp_path / "best")
    with pytest.raises(RuntimeError, match="did not succeed with any of 3 seeds"):
        run_task(task, worker)


def test_probabilities_are_calibrated_by_what_confirmations_said(tiny_plan, tmp_path) -> None:
    plan, worker = begun(tiny_plan()), new_worker()
    found = winner(plan)
    events, before = run_task(Finalize(plan, found, FACTS, tmp_path / "plain"), worker)
    assert before.calibration.temperature == 1.0
    assert before.familiarity is None
    assert NO_GAPS in [event.message for event in events if isinstance(event, Warned)]
    confirmation = Confirm(plan, found.trial.number, 0, confirmation_config(plan, found.trial, 0))
    run_task(confirmation, worker)
    _, after = run_task(Finalize(plan, found, FACTS, tmp_path / "calibrated"), worker)
    temperature = after.calibration.temperature
    assert abs(temperature - 1) > 0.01
    plain, calibrated = (
        np.load(tmp_path / name / "evaluation.npz")["probabilities"]
        for name in ("plain", "calibrated")
    )
    np.testing.assert_allclose(calibrated, at_temperature(plain, temperature), atol=1e-5)
    assert after.calibration.error_before == pytest.approx(before.test.calibration_error, abs=1e-5)
    card = (tmp_path / "calibrated" / "README.md").read_text()
    assert "before temperature" in card
    lines = [line for line in lines_of(tmp_path / "calibrated") if line["part"] == "validation"]
    assert len(lines) == plan.validation_count == after.label_errors.n
    assert all(Path(line["path"]).parent.name == line["true"] for line in lines)
    assert {line["path"] for line in lines} < set(plan.data.paths("train"))
    assert f"| probable label errors | {after.label_errors.in_words()} |" in card
    said = load_model(tmp_path / "calibrated" / "model.safetensors")
    shown = torch.from_numpy(np.array(load_part(plan.data, "test").images))
    # What is measured on the test images is what the service will say of them.
    served = Model(tmp_path / "calibrated")
    assert served.familiarity.known.shape == (60, served.features)
    far = [one.distance > served.familiarity.limit for one in served.predict(shown.numpy())]
    assert after.familiarity.share == np.mean(far)
    assert after.familiarity.n == 15
    card = (tmp_path / "calibrated" / "README.md").read_text()
    assert "called unlike the training images" in card
    np.testing.assert_allclose(
        probabilities(said.network, shown, said.normalisation).numpy(), calibrated, atol=1e-4
    )


def trained(network: str, data) -> TrainedModel:
    engines = EnginePool(data)
    config = TrainConfig(network=network, width=4, depth=1, epochs=6, batch_size=16, lr=1.0)
    list(fit(config, data, engines))
    return trained_model(engines.engine(config))


@pytest.mark.parametrize("network", ["convnet", "resnet"])
def test_a_network_is_exported_as_it_is(data, tmp_path, network) -> None:
    images = data.validation.images
    assert export_onnx(tmp_path / "model.onnx", trained(network, data), images) < 1e-5


def test_a_file_that_says_something_else_is_refused(data, tmp_path, monkeypatch) -> None:
    model = trained("convnet", data)

    def other(self, images):
        return (images.float() * 0.9 / 255 - self.mean).permute(0, 3, 1, 2) / self.std[
            :, None, None
        ]

    monkeypatch.setattr(Normalisation, "__call__", other)
    with pytest.raises(ExportMismatch, match="must be within 0.0001 of PyTorch's, but differ"):
        export_onnx(tmp_path / "model.onnx", model, data.validation.images)
