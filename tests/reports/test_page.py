"""The page in a real browser."""

import json
from itertools import pairwise

import pytest

from reports.page import for_script
from tests.reports.pages import PHONE, opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def page(made):
    return made.folder / "report" / "index.html"


@pytest.fixture(scope="module")
def desktop(browser, page):
    with opened(browser, page) as shown:
        yield shown


@pytest.fixture(scope="module")
def phone(browser, page):
    with opened(browser, page, PHONE, "dark") as shown:
        yield shown


def test_it_says_nothing_on_the_console_and_asks_nobody(desktop, page) -> None:
    assert desktop.complaints == []
    assert {r for r in desktop.requests if not r.startswith("data:")} == {page.as_uri()}


def test_every_figure_is_drawn_and_has_a_text(desktop) -> None:
    figures = desktop.figures()
    wanted = {
        "estimates", "history", "curves", "timeline", "importances", "edf", "slice-lr",
        "slice-depth", "contour", "parallel", "ranges", "outcomes", "pruning", "seeds", "more",
        "training", "reliability", "confusion", "confusion-shares", "classes",
    }  # fmt: skip
    assert wanted <= figures.keys()
    assert sum(name.startswith("rank-") for name in figures) == 3
    for name, figure in figures.items():
        assert figure["width"] > 100, name
        assert figure["height"] > 30, name
        assert figure["marks"] > 0, name
        assert len(figure["alt"]) > 20, name


def test_people_who_do_not_see_it_find_their_way(desktop) -> None:
    page = desktop.page
    assert page.title() == "made: search report"
    assert page.get_attribute("html", "lang") == "en"
    levels = page.eval_on_selector_all("h1,h2,h3", "all => all.map(h => +h.tagName[1])")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.eval_on_selector_all("img", "all => all.filter(i => !i.alt).length") == 0
    assert page.locator("img").count() > 10
    ids = page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))
    for target in page.eval_on_selector_all("a[href^='#']", "all => all.map(a => a.hash)"):
        assert target[1:] in ids


def test_the_keyboard_switches_the_colours(desktop) -> None:
    page = desktop.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.innerText") == "Skip to the content"
    page.focus("#theme")
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-theme=dark][data-drawn=all]")
    assert page.get_attribute("#theme", "aria-label") == "Switch to light colours"
    assert_readable(page)
    page.keyboard.press("Enter")
    page.wait_for_selector("html[data-theme=light][data-drawn=all]")
    assert_readable(page)
    assert desktop.complaints == []


def test_it_fits_a_phone_in_the_dark(phone) -> None:
    assert phone.complaints == []
    assert phone.page.get_attribute("html", "data-theme") == "dark"
    assert phone.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert all(figure["width"] > 80 for figure in phone.figures().values())
    assert_readable(phone.page)


def test_print_is_light_and_has_all_figures(phone) -> None:
    page = phone.page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_attribute("html", "data-theme") == "light"
    assert len(page.pdf()) > 100_000
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.wait_for_selector("html[data-theme=dark][data-drawn=all]")


def test_a_class_called_script_is_only_text(desktop) -> None:
    text = desktop.page.inner_text("#model")
    assert "<script>alert(1)</script>" in text
    assert desktop.page.locator("script").count() == 3
    assert "<script>alert" in desktop.figures()["classes"]["text"] or "&lt;" not in text


def test_no_text_in_the_data_can_end_its_element() -> None:
    evil = {"a</script><script>alert(1)</script>": ["<!--", "&lt;", "\u2028"]}
    held = for_script(evil)
    assert not set(held) & set("<>&\u2028")
    assert json.loads(held) == evil
    with pytest.raises(ValueError, match="not JSON compliant"):
        for_script([float("nan")])


def test_what_is_on_the_page_is_in_the_summary(desktop, made) -> None:
    summary = json.loads((made.folder / "report" / "summary.json").read_text())
    text = desktop.page.inner_text("#answer")
    for estimate in summary["winner"]["estimates"]:
        assert f"{estimate['accuracy']:.2%}" in text
        assert f"n = {estimate['n']:,}" in text
    assert "Finished: 23 of 23 trials done" in desktop.page.inner_text("header")


def assert_readable(page) -> None:
    """Text stands out from what it is written on."""
    ink = page.eval_on_selector(".finding p", "e => getComputedStyle(e).color")
    soft = page.eval_on_selector("figcaption", "e => getComputedStyle(e).color")
    paper = page.eval_on_selector(".card", "e => getComputedStyle(e).backgroundColor")
    axis = page.eval_on_selector(".xtick text", "e => getComputedStyle(e).fill")
    assert min(_contrast(ink, paper), _contrast(axis, paper)) > 7
    assert _contrast(soft, paper) > 4.5


def _contrast(first: str, second: str) -> float:
    """Of two colours as the browser says them (WCAG)."""
    a, b = sorted((_luminance(c) for c in (first, second)), reverse=True)
    return (a + 0.05) / (b + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(part) / 255 for part in colour[4:-1].split(",")]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
