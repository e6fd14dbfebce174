"""Classes on the page: warnings, names that look like numbers, many of them, wrong ones linked."""

from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest

from records.metrics import read_metrics
from reports.figures.model import model_drawings
from reports.numbers.findings import findings
from reports.numbers.model import by_recall, model
from reports.numbers.summary import summarise
from reports.page import link
from reports.run import write_report
from reports.source import read_source
from studies.dashboard.plots import confusion_matrix
from studies.study import SETTINGS, find
from tests.reports.making import make_study, usual, write_best
from tests.reports.pages import opened
from tests.reports.test_odd import text_of

ODD_NAMES = ["1", "10", "1e1", "2020-01", "1.0"]


def made_with(root: Path, classes: list[str], unnamed: int = 0):
    place = make_study(root, usual(1))
    write_best(place, classes=classes, unnamed=unnamed)
    return place


@pytest.mark.parametrize("more", [0, 30, 100])
def test_every_axis_of_classes_is_of_categories(tmp_path, more) -> None:
    names = [*ODD_NAMES, *map(str, range(100, 100 + more))]
    place = made_with(tmp_path, names)
    drawn = model_drawings(model(read_metrics(place.folder / "best"), None))
    found = 0
    for figure in [d.figure for d in drawn] + [confusion_matrix([[1] * 5] * 5, ODD_NAMES)]:
        for letter in "xy":
            if any(set(ODD_NAMES) <= set(getattr(t, letter)) for t in figure.data):
                assert figure.layout[f"{letter}axis"].type == "category"
                found += 1
    assert found == (5 if more else 7)


def test_classes_are_sorted_by_recall_and_untested_ones_come_last(tmp_path) -> None:
    place = made_with(tmp_path, ["a", "b", "c", "d"], unnamed=1)
    metrics = read_metrics(place.folder / "best")
    qualities = {**metrics.test.per_class}
    qualities["a"] = qualities["a"].model_copy(update={"n": 0, "recall": 0.0})
    order = by_recall(qualities)
    assert (next(iter(order)), list(order)[-1]) == ("d", "a")
    known = [quality.recall for quality in order.values() if quality.n]
    assert known == sorted(known)


def test_a_class_that_is_never_predicted_is_no_passed_diagnosis(tmp_path) -> None:
    def judged(unnamed: int):
        place = made_with(tmp_path / str(unnamed), ["a", "b", "c", "d"], unnamed)
        return findings(summarise(read_source(place)))[0]

    assert judged(0)[:3] == ("classes", "Is every class found?", "good")
    bad = judged(2)
    assert bad.verdict == "warning"
    assert bad.text.startswith("2 of 4 classes are never predicted: c (n = 40), d (n = 40).")


def test_a_link_leads_to_the_file_and_to_nothing_else(tmp_path) -> None:
    odd = tmp_path / "data" / "a b#c?'\"&.png"
    odd.parent.mkdir()
    odd.write_bytes(b"")
    found = link(tmp_path / "runs" / "report", tmp_path / "data", odd.name)
    assert found == "../../data/a%20b%23c%3F%27%22%26.png"
    assert link(tmp_path, tmp_path / "data", "test/3") is None
    assert link(tmp_path, None, odd.name) is None
    assert link(tmp_path, tmp_path / "data", None) is None


@pytest.mark.slow
def test_102_classes_of_which_75_are_never_predicted(browser, tmp_path) -> None:
    names = [*ODD_NAMES, *(f"2020-{n}" for n in range(97))]
    place = made_with(tmp_path / "runs", names, unnamed=75)
    root, paths = with_pictures(place, tmp_path / "my <pictures> #1")
    page = write_report(place)
    text = text_of(page)
    assert text.count("75 of 102 classes are never predicted: 2020-22 (n = 40), ") == 2
    assert "fine" not in text.split()
    assert "3 probably have a wrong label (the 2 most probable are here); about 2 of" in text
    assert page.stat().st_size < 7e6
    with opened(browser, page) as shown:
        assert shown.complaints == []
        assert shown.figures()["confusion"]["marks"] == 1
        ticks = shown.page.locator("#classes .xtick text").all_text_contents()
        assert set(filter(None, ticks)) < set(names)
        assert_folded(shown.page)
        links = shown.page.eval_on_selector_all("#model a[href]", "all => all.map(a => a.href)")
        files = {Path(unquote(urlparse(address).path)) for address in links}
        assert {root / path for path in paths} <= files
        assert place.folder / "best" / "predictions.csv" in files
        assert all(file.is_file() for file in files)
        # A picture of 16 pixels is shown large enough to be seen, and with its own pixels.
        first = shown.page.locator(".pictures img").first
        assert first.bounding_box()["width"] > 120
        assert first.evaluate("e => getComputedStyle(e).imageRendering") == "pixelated"


def with_pictures(place, root: Path) -> tuple[Path, set[str]]:
    """Files for the pictures of the report, and what the study says of where they are."""
    best = place.folder / "best"
    with np.load(best / "evaluation.npz") as held:
        paths = set(held["picture_paths"][: 4 + 3 * 102].tolist())
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")
    (best / "predictions.csv").write_text("path\n")
    study = find(place)
    settings = {**study.user_attrs[SETTINGS], "data": {"dataset": str(root)}}
    study.set_user_attr(SETTINGS, settings)
    return root, paths


def assert_folded(page) -> None:
    assert page.locator("#model details:not([open])").count() == 2
    hidden = page.locator(".examples img").first
    assert not hidden.is_visible()
    page.locator("#model summary").last.click()
    assert hidden.is_visible()
