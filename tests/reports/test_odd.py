"""Studies that are not as they should be: every one gives a page that says what is missing."""

import json
import re
import shutil
from dataclasses import replace
from datetime import timedelta
from html import unescape

import numpy as np
import pytest

from reports.numbers.summary import summarise
from reports.page import report_page
from reports.run import write_report
from reports.source import read_source
from studies.broker.owner import this_host
from tests.reports.making import SPACE, learned, make_study, sampled, trial, usual, write_best
from tests.reports.pages import opened

pytestmark = pytest.mark.slow

ONE = {"lr": SPACE["lr"]}
WAITING = "There is no complete trial yet, so there is no winner"

ODD = {
    "no trials": ([], {"total": 20}, "Not begun: no trials yet", WAITING),
    "all pruned": (
        [trial(n, "pruned", cause="rule") for n in range(3)],
        {}, WAITING, "3 are pruned",
    ),
    "all failed": (
        [trial(n, "failed", [], cause="error") for n in range(3)],
        {}, "3 failed (100%)", "search.log says what went wrong",
    ),
    "one complete trial": (
        [trial(0)], {}, "Trial 0 wins, decided by the search alone", "ten complete trials",
    ),
    "one parameter": (
        [trial(n, space=ONE) for n in range(12)], {"space": ONE}, "Accuracy by lr", "wins",
    ),
    "running": (
        [*usual(12), trial(12, "running", host="elsewhere")],
        {"total": 20}, "Running: 12 of 20 trials done, 1 in training", "nothing has been exported",
    ),
    "stopped": (
        [*usual(12), trial(12, "running", host=this_host())],
        {"total": 20}, "Stopped: 12 of 20 trials done", "nothing has been exported",
    ),
    "not a number in a curve": (
        [*usual(12), trial(12, curve=[0.2, float("nan"), 0.4, 0.5, 0.6, 0.7])],
        {}, "Learning curves", "wins",
    ),
    "equal results": (
        [trial(n, curve=[0.5] * 6) for n in range(12)], {}, "accuracy; there are 12", "wins",
    ),
    "no space": (usual(12), {"space": {}}, "wins", "No complete trial has a numeric parameter"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_studies_have_a_page(tmp_path, name) -> None:
    trials, about, *wanted = ODD[name]
    page = write_report(make_study(tmp_path, trials, **about))
    json.loads((page.parent / "summary.json").read_text(), parse_constant=pytest.fail)
    shown = text_of(page)
    for sentence in [*wanted, "Nothing has been exported"]:
        assert sentence in shown


@pytest.mark.parametrize(
    "name", ["no trials", "all failed", "one parameter", "not a number in a curve"]
)
def test_odd_studies_are_drawn(browser, tmp_path, name) -> None:
    trials, about, *_ = ODD[name]
    with opened(browser, write_report(make_study(tmp_path, trials, **about))) as shown:
        assert shown.complaints == []
        for key, figure in shown.figures().items():
            assert figure["marks"] > 0, key


def text_of(page) -> str:
    """What people read, without the data of the figures."""
    body = page.read_text().split("<main", 1)[1].split("</main>", 1)[0]
    return " ".join(unescape(re.sub("<[^>]*>", " ", body)).split())


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda best: (best / "metrics.json").unlink(), "best/metrics.json is missing."),
        (lambda best: (best / "metrics.json").write_text("{"), "best/metrics.json cannot be read"),
        (lambda best: (best / "metrics.json").write_text("{}"), "created: Field required"),
        (lambda best: (best / "evaluation.npz").unlink(), "best/evaluation.npz is missing."),
        (lambda best: (best / "evaluation.npz").write_bytes(b"PK"), "best/evaluation.npz cannot"),
        (
            lambda best: np.savez(best / "evaluation.npz", labels=np.zeros(3)),
            "best/evaluation.npz cannot be read",
        ),
    ],
)
def test_a_damaged_export_says_so(made, tmp_path, spoil, sentence) -> None:
    shutil.copytree(made.folder, tmp_path / "made")
    spoil(tmp_path / "made" / "best")
    place = type(made)("made", tmp_path / "made")
    text = write_report(place).read_text()
    assert sentence in text
    assert "What depends on it is left out" in text


def test_an_older_export_without_augmented_pictures(made, tmp_path) -> None:
    shutil.copytree(made.folder, tmp_path / "made")
    path = tmp_path / "made" / "best" / "evaluation.npz"
    with np.load(path) as held:
        kept = {name: held[name] for name in held.files if not name.startswith("augment")}
    np.savez(path, **kept)
    text = write_report(type(made)("made", tmp_path / "made")).read_text()
    assert "This export holds no pictures of it" in text
    assert "Most confident errors" in text


def test_what_was_found_in_the_data_is_on_the_page(made, tmp_path) -> None:
    shutil.copytree(made.folder, tmp_path / "made")
    path = tmp_path / "made" / "best" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["data"]["findings"] = {
        "where": {"train": "train/", "test": "test/"}, "image_size": 16,
        "counts": {"train": {"<b>": 100}, "test": {"<b>": 60}},
        "copies_between": {"train and test": 6}, "passed_over": {"@eaDir": 12},
    }  # fmt: skip
    path.write_text(json.dumps(metrics))
    shown = text_of(write_report(type(made)("made", tmp_path / "made")))
    for text in ("The data: 6 of 60 test pictures are exact copies of train pictures",
                 "classes: <b> 160", "passed over: 12 in @eaDir"):  # fmt: skip
        assert text in shown


def test_very_many_classes_stay_small(tmp_path) -> None:
    place = make_study(tmp_path, usual(4))
    write_best(place, classes=[f"class {n}" for n in range(300)])
    page = write_report(place)
    assert "Of the 150 of 300 classes, those with the lowest recall first" in page.read_text()
    assert page.stat().st_size < 7e6


def test_a_thousand_trials_fit_in_ten_megabytes(browser, made, tmp_path) -> None:
    read = read_source(made)
    many = tuple(thousandth(read.trials[0], n) for n in range(1000))
    source = replace(read, trials=many)
    path = tmp_path / "index.html"
    path.write_text(report_page(summarise(source), source, tmp_path))
    assert path.stat().st_size < 10e6
    with opened(browser, path) as shown:
        assert shown.complaints == []
        assert all(figure["marks"] > 0 for figure in shown.figures().values())


def thousandth(like, number: int):
    """One of very many trials of 20 epochs, all but every tenth one complete."""
    complete, params = number % 10 != 9, sampled(SPACE, number)
    curve = learned(params, number, 20 if complete else 5)
    start = like.started + timedelta(seconds=20 * number)
    return like.model_copy(
        update={
            "number": number, "index": number, "state": "complete" if complete else "pruned",
            "accuracy": curve[-1], "params": params, "curve": dict(enumerate(curve, 1)),
            "started": start, "ended": start + timedelta(seconds=15),
        }
    )  # fmt: skip
