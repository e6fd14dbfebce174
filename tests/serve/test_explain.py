"""Where a model looks: in Python, on the command line, over HTTP; and what says that it cannot."""

import base64
import io
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.export.onnx import write_without_maps
from serve.model import Model
from serve.predict import free_name
from serve.web.app import create_app
from tests.search.corners import corners
from tests.serve.conftest import encoded, stripe

pytestmark = pytest.mark.slow

IMAGES, LABELS, PLACES = corners(12, seed=7)
OLD = Path(__file__).parents[1] / "assets" / "digits-0.1.0" / "best"


@pytest.fixture(scope="module")
def shows(explained) -> Model:
    return Model(explained)


@pytest.fixture(scope="module")
def asked(explained):
    return create_app(explained).test_client()


def corner_of(overlay: np.ndarray) -> tuple[int, int]:
    """The quarter of a picture that is the most yellow: 1 = low, 1 = right."""
    yellow = overlay[..., 0].astype(int) - overlay[..., 2]
    half = len(yellow) // 2
    quarters = [yellow[a : a + half, b : b + half].mean() for a in (0, half) for b in (0, half)]
    return divmod(int(np.argmax(quarters)), 2)


def opened(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "JPEG"
        return np.asarray(image)


def test_it_sees_each_class_at_its_mark(shows) -> None:
    said = shows.predict(IMAGES, explained=True)
    assert [one.probabilities.argmax() for one in said] == LABELS.tolist()
    heats = shows.explain(IMAGES)
    np.testing.assert_array_equal(heats, [one.heat for one in said])
    rows, columns = np.divmod(heats.reshape(len(heats), -1).argmax(1), 3)
    np.testing.assert_array_equal(np.stack([rows // 2, columns // 2], 1), PLACES)
    # What speaks for another class lies elsewhere.
    other = shows.explain(IMAGES, (LABELS + 1) % 3)
    assert other[np.arange(12), rows, columns].mean() < 0.25
    assert {one.heat for one in shows.predict(IMAGES)} == {None}


def test_large_maps_go_in_smaller_batches(shows, monkeypatch) -> None:
    whole = shows.explain(IMAGES, LABELS)
    monkeypatch.setattr("serve.model._VALUES_AT_ONCE", 5 * 27)
    np.testing.assert_allclose(shows.explain(IMAGES, LABELS), whole, atol=1e-5)


@pytest.mark.parametrize("kind", ["old", "single place", "8 bits"])
def test_a_model_without_maps_predicts_and_says_that_it_has_none(
    kind, model, explained, tmp_path
) -> None:
    found = model
    if kind == "old":
        found = Model(OLD)
    if kind == "8 bits":
        folder = shutil.copytree(explained, tmp_path / "best")
        write_without_maps(folder / "model.onnx", explained / "model.onnx")
        found = Model(folder)
    words = {
        "old": "it was exported by an earlier version",
        "single place": "at this image size, the last map of convnet is a single place",
        "8 bits": "model.onnx computes no activation, although metrics.json says so",
    }
    assert found.unexplained == f"this model cannot show where it looks: {words[kind]}"
    images = np.zeros((1, found.side, found.side, 3), np.uint8)
    assert found.predict(images)[0].heat is None
    with pytest.raises(ValueError, match="cannot show where it looks"):
        found.explain(images)


def test_overlays_are_written_one_per_picture(run_module, run_here, explained, tmp_path) -> None:
    for number, place in enumerate(("a/one.png", "b/one.png", "b/ONE.tif", "b/two.png")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        Image.fromarray(IMAGES[number]).save(tmp_path / place)
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    words = ("serve.predict", "a", "b", "--model", explained, "--explain", "looks/new")
    done = run_module(*words)
    assert done.returncode == 1, done.stderr
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["a/one.png", "red"], ["b/ONE.tif", "blue"], ["b/one.png", "green"], ["b/two.png", "red"],
    ]  # fmt: skip
    written = {p.name: p.read_bytes() for p in (tmp_path / "looks" / "new").iterdir()}
    assert set(written) == {"one.jpg", "ONE-2.jpg", "one-3.jpg", "two.jpg"}
    for name, number in (("one", 0), ("ONE-2", 2), ("one-3", 1), ("two", 3)):
        assert corner_of(opened(written[f"{name}.jpg"])) == tuple(PLACES[number])
    again = run_here(*words)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr.startswith("error: --explain must be a new or an empty folder, but 'lo")
    assert again.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("folder", "words", "message"),
    [
        (OLD, "new", "this model cannot show where it looks: it was exported by an earlier"),
        (None, "file/new", "--explain must be a folder that can be made, but 'file/new': Not a"),
    ],
)
def test_mistakes_are_one_line(run_here, explained, tmp_path, folder, words, message) -> None:
    (tmp_path / "file").touch()
    Image.fromarray(IMAGES[0]).save(tmp_path / "one.png")
    model = folder or explained
    done = run_here("serve.predict", "one.png", "--model", model, "--explain", words)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_no_two_pictures_get_one_name() -> None:
    taken: set[str] = set()
    names = [free_name(name, taken) for name in ("a", "A", "a-2", "\u00e4", "a\u0308")]
    assert names == ["a", "A-2", "a-2-2", "\u00e4", "a\u0308-2"]


def post(client, *contents: bytes, query: str = "?explain=1"):
    files = {"image": [(io.BytesIO(content), "one.png") for content in contents]}
    return client.post(f"/api/predict{query}", data=files)


def test_the_service_sends_overlays_to_those_who_ask(asked) -> None:
    contents = [encoded(image) for image in IMAGES]
    plain = post(asked, *contents, query="").json["predictions"]
    said = post(asked, *contents, query="?top=2&explain=1").json["predictions"]
    for one, without, label, place in zip(said, plain, LABELS, PLACES, strict=True):
        assert one["class"] == without["class"] == ("red", "green", "blue")[label]
        assert len(one["top"]) == 2
        overlay = opened(base64.b64decode(one["overlay"], validate=True))
        assert overlay.shape == (224, 224, 3)
        assert corner_of(overlay) == tuple(place)
        assert "overlay" not in without
    assert post(asked, contents[0], query="?explain=0").json["predictions"] == [plain[0]]


def test_the_document_describes_it(asked) -> None:
    document = asked.get("/openapi.json").json
    described = document["components"]["schemas"]["ExplainedAnswer"]
    (said,) = post(asked, encoded(IMAGES[0])).json["predictions"]
    assert set(said) == set(described["properties"]) == set(described["required"])
    parameters = document["paths"]["/api/predict"]["post"]["parameters"]
    assert [one["name"] for one in parameters] == ["top", "explain"]


@pytest.mark.parametrize("explain", ["2", "", "yes", "-1"])
def test_explain_is_a_switch(asked, explain) -> None:
    refused = post(asked, encoded(IMAGES[0]), query=f"?explain={explain}")
    assert refused.status_code == 400
    assert "explain must be a number from 0 to 1" in refused.json["message"]


def test_a_service_that_cannot_says_so(client, asked) -> None:
    reason = client.get("/api/model").json["unexplained"]
    refused = post(client, encoded(stripe()))
    assert (refused.status_code, refused.json["message"]) == (400, reason)
    assert asked.get("/api/model").json["unexplained"] is None


def test_others_in_the_same_batch_get_what_they_asked_for(explained) -> None:
    """The network may look at both at once; only one hears where it looked."""
    client = create_app(explained)
    with ThreadPoolExecutor(8) as pool:
        queries = ["?explain=1", "?explain=0"] * 8
        found = pool.map(
            lambda query: post(client.test_client(), encoded(IMAGES[0]), query=query), queries
        )
        has = [json.dumps(one.json).count('"overlay"') for one in found]
    assert has == [1, 0] * 8
