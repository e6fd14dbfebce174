"""`python -m serve.tag`: the table, the copies, and what thresholds promise."""

import csv
import json
import os
import shutil
import unicodedata

import numpy as np
import pytest

from serve.model import Model
from serve.predict import below, predictions
from serve.tag import _folders
from serve.thresholds import HeldOut, overall, per_class, read_held_out
from tests.serve.conftest import encoded, stripe

pytestmark = pytest.mark.slow


@pytest.fixture
def album(collection, tmp_path):
    return shutil.copytree(collection, tmp_path / "album")


@pytest.fixture
def tag(run_here, best):
    return lambda *words: run_here("serve.tag", *words, "--model", best)


def table(path):
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def test_the_table_names_every_picture(run_module, tag, album, best, tmp_path) -> None:
    (album / "broken.png").write_bytes(b"no")
    done = run_module("serve.tag", "album", "--threshold", 0.4, "--model", best)
    assert done.returncode == 1
    assert "error: album/broken.png" in done.stderr
    rows, limit = table(tmp_path / "tags-of-album.csv"), Model(best).familiarity.limit
    assert len(rows) == 30
    assert sum(row["class"] == row["path"][0] for row in rows) > 24
    for row in rows:
        doubts = ["probability"] * (float(row["probability"]) < 0.4)
        doubts += ["distance"] * (float(row["distance"]) > limit)
        assert row["unsure_by"].split() == doubts
        trusted = not doubts
        assert row["filed_under"] == (row["class"] if trusted else "review")
        assert row["second_class"] != row["class"]
        assert float(row["second_probability"]) <= float(row["probability"])
    again = tag("album")
    assert again.returncode == 2
    assert "the table must be a new file" in again.stderr


def test_copies_are_filed_by_class_and_nothing_is_lost(tag, album, tmp_path) -> None:
    before = {path: path.read_bytes() for path in album.rglob("*.png")}
    target = tmp_path / "filed"
    done = tag("album", "--copy-to", "filed")
    assert done.returncode == 0, done.stderr
    rows = table(tmp_path / "tags-of-album.csv")
    for row in rows:
        copied = target / row["filed_under"] / row["path"]
        assert copied.read_bytes() == before[album / row["path"]]
    assert len(list(target.rglob("*.*"))) == 30
    assert {path: path.read_bytes() for path in album.rglob("*.png")} == before
    # Again: what is there stays, and a file of the user's under the same name, too.
    mine = target / rows[0]["filed_under"] / rows[0]["path"]
    mine.write_bytes(b"mine")
    again = tag("album", "--copy-to", "filed", "--out", "second.csv")
    assert again.returncode == 1
    assert again.stderr.count("not copied, another file of this name is there") == 1
    assert mine.read_bytes() == b"mine"
    assert len(list(target.rglob("*.*"))) == 30


def test_names_that_are_not_text_are_kept(tag, tmp_path) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    (folder / os.fsdecode(b"\xff.png")).write_bytes(encoded(stripe()))
    assert tag("album", "--copy-to", "filed").returncode == 0
    (row,) = table(tmp_path / "tags-of-album.csv")
    assert os.fsencode(row["path"]) == b"\xff.png"


def test_every_class_has_a_folder_and_none_is_that_for_review() -> None:
    """Also on file systems that tell neither capitals nor spellings of accents apart."""
    classes = (
        "cat", "Cat", "Review", "review-2", "a/b", "a\\b", "..", ".", "", "CON", "con.txt",
        "console", "100%", "a%2Fb", "x.", "x ", "a:b", "\0", "\u00e9", "e\u0301", "\u65e5" * 100,
        "\u65e5" * 101,
    )  # fmt: skip
    folders, review = _folders(classes)
    assert {name: folders[name] for name in ("cat", "Review", "console", "100%", "\u00e9")} == {
        name: name for name in ("cat", "Review", "console", "100%", "\u00e9")
    }
    assert (folders["a/b"], folders["Cat"], folders[".."]) == ("a%2Fb", "Cat-2", "%2E%2E")
    assert (folders["CON"], folders["con.txt"]) == ("%43ON", "%63on.txt")
    every = [unicodedata.normalize("NFD", one).lower() for one in (*folders.values(), review)]
    assert len(set(every)) == len(classes) + 1
    for folder in (*folders.values(), review):
        assert folder.strip(". ") == folder
        assert not set(folder) & set('<>:"/\\|?*\0')
        assert 0 < len(folder.encode()) < 255
    assert _folders(("cat", "dog")) == ({"cat": "cat", "dog": "dog"}, "review")


def test_a_class_called_review_is_not_the_folder_for_review(
    run_here, best, album, tmp_path
) -> None:
    renamed = tmp_path / "best"
    shutil.copytree(best, renamed)
    metrics = json.loads((renamed / "metrics.json").read_text())
    text = json.dumps(metrics).replace('"b"', '"review"').replace('"c"', '"a/c"')
    (renamed / "metrics.json").write_text(text)
    found = [p.top(("a", "b", "c"), 1)[0] for _, p in predictions(Model(best), list(below(album)))]
    half = np.median([probability for name, probability in found if name == "b"])
    words = ("album", "--copy-to", "filed", "--model", renamed, "--threshold", half)
    done = run_here("serve.tag", *words)
    assert done.returncode == 0, done.stderr
    assert "a/c: filed under 'a%2Fc'" in done.stdout
    assert "to be reviewed: filed under 'review-2', since a class has that name" in done.stdout
    rows = table(tmp_path / "tags-of-album.csv")
    for row in rows:
        assert (tmp_path / "filed" / row["filed_under"] / row["path"]).exists()
        folder = {"a/c": "a%2Fc"}.get(row["class"], row["class"])
        assert row["filed_under"] in (folder, "review-2")
    assert {"review", "review-2"} <= {row["filed_under"] for row in rows}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--copy-to", "album/filed"], "copies must not go into the folder that is tagged"),
        (["--precision", "0.9", "--threshold", "0.5"], "exclude each other"),
        (["--precision", "1"], "--precision must be between 0 and 1"),
        (["--threshold", "2"], "Input should be less than or equal to 1"),
    ],
)
def test_mistakes_are_one_line(tag, album, words, message) -> None:
    done = tag("album", *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_precision_needs_held_out_pictures(run_here, best, album, tmp_path) -> None:
    shutil.copytree(best, tmp_path / "best")
    (tmp_path / "best" / "validation.npz").unlink()
    done = run_here("serve.tag", "album", "--precision", 0.9, "--model", "best")
    assert done.returncode == 2
    assert "needs answers about held-out pictures" in done.stderr


def test_classes_without_proof_are_never_trusted(tag, album, tmp_path) -> None:
    done = tag("album", "--precision", 0.95)
    assert (
        "never trusted, since no threshold is shown to reach 95%: 2 held-out pictures are too few"
        in done.stdout
    )
    assert {row["filed_under"] for row in table(tmp_path / "tags-of-album.csv")} == {"review"}


def test_what_confirmations_said_is_exported(best) -> None:
    held = read_held_out(best, 3)
    assert held.predicted.shape == held.confidence.shape == (2, 6)
    assert Model(best).classes == ("a", "b", "c")
    assert (held.confidence > 1 / 3).all()


def simulated(count: int, seed: int, trainings: int = 1) -> HeldOut:
    """Answers that are right as often as their probability says."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    confidence = random.uniform(0.5, 1, (trainings, count))
    right = random.uniform(size=(trainings, count)) < confidence
    return HeldOut(labels, np.where(right, labels, 1 - labels), confidence)


@pytest.mark.parametrize("precision", [0.8, 0.9, 0.95])
def test_thresholds_keep_what_they_promise_on_other_pictures(precision) -> None:
    """Chosen on some pictures, the precision holds on others in most of 100 draws."""
    kept = []
    for seed in range(100):
        chosen = overall(simulated(2000, seed), precision)
        if chosen.probability is not None:
            fresh = simulated(20_000, 10_000 + seed)
            trusted = fresh.confidence >= chosen.probability
            kept.append(fresh.right[trusted].mean() >= precision - 0.01)
    assert len(kept) > 40
    assert np.mean(kept) > 0.9


def test_a_threshold_takes_in_what_it_can() -> None:
    """Of these answers, those from 2p - 1 on are right with precision p on average."""
    assert overall(simulated(200_000, 0), 0.9).probability == pytest.approx(0.8, abs=0.015)
    assert overall(simulated(200_000, 0), 0.9).share == pytest.approx(0.4, abs=0.03)


def test_each_class_has_its_own() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    confidence = random.uniform(0.5, 1, (1, 4000))
    # Class 0 is always right; class 1 only above 0.8.
    wrong = (labels == 1) & (confidence < 0.8)
    held = HeldOut(np.where(wrong[0], 2, labels), labels[None], confidence)
    found = per_class(held, ("a", "b", "c"), 0.97)
    assert found["a"].probability == pytest.approx(0.5, abs=0.01)
    assert 0.75 < found["b"].probability < 0.82
    assert (found["c"].probability, found["c"].pictures) == (None, 0)


@pytest.mark.parametrize("trainings", [1, 3])
@pytest.mark.parametrize(("count", "known"), [(44, False), (45, True)])
def test_few_pictures_prove_little_however_many_trainings_look_at_them(
    count, trainings, known
) -> None:
    labels = np.zeros(count, int)
    confidence = np.linspace(0.5, 1, count * trainings).reshape(trainings, count)
    found = overall(HeldOut(labels, np.zeros((trainings, count), int), confidence), 0.95)
    assert (found.probability is not None) == known
