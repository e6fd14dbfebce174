"""Pictures of none of the classes: what the distance to the training pictures says of them."""

import json
import shutil
from io import BytesIO

import numpy as np
import pytest

from serve.answer import Answer, limits_of
from serve.familiar import Familiarity, read_familiarity
from serve.model import Model, Prediction
from serve.web.app import create_app
from tests.conftest import stripes
from tests.serve.conftest import encoded, stripe

pytestmark = pytest.mark.slow


@pytest.fixture
def earlier(best, tmp_path):
    """What an earlier version would have exported."""
    folder = shutil.copytree(best, tmp_path / "earlier")
    (folder / "familiarity.npz").unlink()
    return folder


def strange(count: int) -> np.ndarray:
    """Pictures of none of the classes: one bright pixel each."""
    images = np.zeros((count, 16, 16, 3), np.uint8)
    images[np.arange(count), np.arange(count) % 16, 3] = 255
    return images


def test_the_nearest_tell_the_distance() -> None:
    known = np.array([[1.0, 0], [0, 1], [0, 1], [-1, 0]], np.float32)
    found = Familiarity(known, 2, 0.5, "").distances(np.array([[0, 3.0], [1, 0]], np.float32))
    np.testing.assert_allclose(found, [0, 1], atol=1e-6)


def test_strange_pictures_are_further_away(model) -> None:
    own = [one.distance for one in model.predict(stripes(60, seed=77)[0])]
    other = [one.distance for one in model.predict(strange(20))]
    assert min(other) > np.quantile(own, 0.9)


def test_an_answer_says_what_speaks_against_it(model) -> None:
    limits = limits_of(model, below=0.6, beyond=0.5)
    cases = {(0.9, 0.1): [], (0.5, 0.1): ["probability"], (0.9, 0.6): ["distance"],
             (0.5, 0.6): ["probability", "distance"], (0.6, 0.5): []}  # fmt: skip
    for (probability, distance), doubts in cases.items():
        said = Prediction(np.array([1 - probability, probability]), np.zeros(2), distance)
        answer = Answer.of("x.png", said, ("a", "b"), 1, limits)
        assert (answer.unsure_by, answer.unsure) == (doubts, bool(doubts))


def test_the_console_and_the_service_say_the_same(best, run_here, client, tmp_path) -> None:
    (tmp_path / "one.png").write_bytes(encoded(stripe(1)))
    (tmp_path / "two.png").write_bytes(encoded(strange(1)[0]))
    done = run_here("serve.predict", "one.png", "two.png", "--json", "--model", best)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    sent = [(BytesIO((tmp_path / name).read_bytes()), name) for name in ("one.png", "two.png")]
    replied = client.post("/api/predict", data={"image": sent}).json["predictions"]
    assert told == replied
    assert set(told[0]) == {
        "path", "class", "probability", "top", "unsure", "unsure_by", "distance",
    }  # fmt: skip
    assert "distance" in told[1]["unsure_by"]
    schemas = client.get("/openapi.json").json["components"]["schemas"]
    assert set(schemas["Answer"]["properties"]) == set(told[0])
    plain = run_here("serve.predict", "two.png", "--model", best)
    assert "unlike the training pictures" in plain.stdout


def test_without_distances_only_the_probability_speaks_and_that_is_said(
    earlier, run_here, start, tmp_path
) -> None:
    (tmp_path / "two.png").write_bytes(encoded(strange(1)[0]))
    done = run_here("serve.predict", "two.png", "--json", "--model", earlier)
    assert done.stderr.startswith("warning: This model was exported without familiarity.npz")
    said = json.loads(done.stdout)
    assert said["distance"] is None
    assert "distance" not in said["unsure_by"]
    (tmp_path / "album").mkdir()
    (tmp_path / "two.png").rename(tmp_path / "album" / "two.png")
    done = run_here("serve.tag", "album", "--model", earlier)
    assert "without familiarity.npz" in done.stderr
    service = start("--model", earlier, "--processes", 2)
    assert service.stop()[1].count("without familiarity.npz") == 1
    about = create_app(earlier).test_client().get("/api/model").json
    assert about["unsure_beyond"] is None
    assert "without familiarity.npz" in about["unsure_beyond_because"]


def test_without_held_out_pictures_chance_is_not_sure(earlier) -> None:
    (earlier / "validation.npz").unlink()
    limits = limits_of(Model(earlier))
    assert limits.below == pytest.approx(2 / 3)
    assert limits.below_because.startswith("It is a guess")


def test_a_limit_can_be_set(best) -> None:
    model = Model(best)
    assert limits_of(model).beyond == model.familiarity.limit
    assert limits_of(model, beyond=0.25).beyond == 0.25


def packed(**changes) -> bytes:
    """A file of an export whose embeddings have 8 numbers, with changes."""
    known = np.random.default_rng(0).normal(size=(50, 8))
    arrays = {"known": known, "neighbours": 1, "limit": 0.1, "share": 0.05, "pictures": 9}
    content = BytesIO()
    np.savez_compressed(content, **{**arrays, **changes})
    return content.getvalue()


def array_alone() -> bytes:
    content = BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


WHOLE = packed()
DAMAGED = [
    b"", b"no archive", array_alone(), WHOLE[:-30], WHOLE[:200] + bytes(300) + WHOLE[500:],
    packed(known=np.zeros(8)), packed(known=np.full((3, 8), np.nan)), packed(known="words"),
    packed(neighbours=np.inf), packed(limit=[0.1, 0.2]), packed(limit=np.nan),
    packed(limit=np.inf), packed(limit=-0.1), packed(share={}),
]  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_file_is_refused(tmp_path, content) -> None:
    path = tmp_path / "familiarity.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be what a search exported, but: .+ export it"):
        read_familiarity(tmp_path, 8)
    path.write_bytes(WHOLE)
    assert read_familiarity(tmp_path, 8).limit == 0.1


def test_a_file_of_another_export_is_refused(tmp_path) -> None:
    (tmp_path / "familiarity.npz").write_bytes(WHOLE)
    with pytest.raises(ValueError, match="different exports"):
        read_familiarity(tmp_path, 9)
