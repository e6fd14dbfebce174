import json
import shutil

import numpy as np
import pytest

from serve.model import Model, find_model
from tests.conftest import stripes


@pytest.fixture
def copied(best, tmp_path):
    return shutil.copytree(best, tmp_path / "best")


def probabilities(model: Model, images: np.ndarray) -> np.ndarray:
    return np.stack([one.probabilities for one in model.predict(images)])


def test_it_knows_what_it_learned(model) -> None:
    images, labels = stripes(30, seed=77)
    found = model.predict(images)
    assert np.mean([one.probabilities.argmax() for one in found] == labels) > 0.8
    assert {one.embedding.shape for one in found} == {(model.features,)}
    assert model.classes == ("a", "b", "c")


def test_batches_say_what_single_pictures_say(model) -> None:
    images, _ = stripes(model.at_once + 3, seed=78)
    single = np.concatenate([probabilities(model, image[None]) for image in images])
    np.testing.assert_allclose(probabilities(model, images), single, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(best, model, threads) -> None:
    images, _ = stripes(9, seed=79)
    found = probabilities(Model(best, threads), images)
    np.testing.assert_allclose(found, probabilities(model, images), atol=1e-6)


def test_large_pictures_go_in_smaller_batches(model, monkeypatch) -> None:
    assert model.at_once == 64
    monkeypatch.setattr(Model, "side", 500)
    assert model.at_once == 4


def test_a_folder_without_an_export_is_refused(tmp_path) -> None:
    with pytest.raises(ValueError, match="holds no readable metrics.json"):
        Model(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "has format 2"),
        ({"format": None}, "must be what a search exported"),
        ({"data": {"classes": ["a", "b"]}}, "different exports"),
        ({"data": {"image_size": 9}}, "takes"),
    ],
)
def test_other_metrics_are_refused(copied, changes, message) -> None:
    path = copied / "metrics.json"
    metrics = json.loads(path.read_text())
    data = metrics["data"] | changes.get("data", {})
    path.write_text(json.dumps(metrics | changes | {"data": data}))
    with pytest.raises(ValueError, match=message):
        Model(copied)


def test_a_damaged_network_is_refused(copied) -> None:
    (copied / "model.onnx").write_bytes(b"no network")
    with pytest.raises(ValueError, match="that ONNX Runtime can load"):
        Model(copied)


def test_the_only_model_is_found(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"there are 0 \(none\)"):
        find_model(None, tmp_path)
    for name in ("one", "two"):
        (tmp_path / name / "best").mkdir(parents=True)
        (tmp_path / name / "best" / "metrics.json").touch()
        if name == "one":
            assert find_model(None, tmp_path) == tmp_path / "one" / "best"
    with pytest.raises(ValueError, match="say which with --model"):
        find_model(None, tmp_path)
