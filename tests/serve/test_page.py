"""The page in a real browser: by mouse, by keyboard, on a phone; what it shows and says."""

import base64
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from tests.search.corners import corners
from tests.serve.conftest import Service, encoded, stripe, wait_until
from tests.serve.odd_pictures import scene
from tests.serve.proxy import proxy

pytestmark = pytest.mark.slow

PHONE = {"viewport": {"width": 360, "height": 720}, "has_touch": True, "is_mobile": True}
SHOTS = os.environ.get("CONVSEARCH_SHOTS")
"""Folder for screenshots, for people to look at."""


@pytest.fixture
def open_page(browser, served):
    """Opens the page; whatever the browser complains of fails the test."""
    contexts, wrong = [], []

    def opened(url: str = served.url, allowed: str = "\0", **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda m: m.type == "error" and allowed not in m.text and wrong.append(m.text),
        )
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda r: r.url.startswith((url, "blob:")) or wrong.append(r.url))
        page.goto(url)
        until(
            page,
            "!document.getElementById('about').textContent.includes('being asked')",
        )
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "striped.png"
    Image.fromarray(stripe(1)).resize((320, 320), 0).save(path)
    return path


@pytest.fixture(scope="module")
def below(best, index):
    """A service that knows its prefix."""
    words = ("--model", best, "--index", index, "--processes", 1, "--prefix", "/pictures")
    service = Service(*words)
    yield service
    service.kill()


def complaint(said, allowed: str) -> list[str]:
    return [said.text] if said.type == "error" and allowed not in said.text else []


def until(page, condition: str) -> None:
    """Playwright's own way evaluates text in the page, which the page's policy forbids."""
    wait_until(lambda: page.evaluate(condition))


def shot(page, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(500)
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


def shown(page) -> list[str]:
    """The texts of the first answer's bars."""
    page.wait_for_selector(".bars li")
    return page.locator(".answer").first.locator(".bars li").all_inner_texts()


def transfer(page, content: bytes, name: str):
    """A picture as the browser hands it over when it is dropped or pasted."""
    return page.evaluate_handle(
        """([data, name]) => {
            const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
            const given = new DataTransfer();
            if (name) given.items.add(new File([bytes], name, { type: "image/png" }));
            return given;
        }""",
        [base64.b64encode(content).decode(), name],
    )


def drop(page, content: bytes, name: str) -> None:
    for kind in ("dragenter", "dragover", "drop"):
        page.dispatch_event("#drop", kind, {"dataTransfer": transfer(page, content, name)})


def paste(page, content: bytes, name: str) -> None:
    page.evaluate(
        "(given) => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: given}))",
        transfer(page, content, name),
    )


def test_a_chosen_picture_is_answered_with_bars_and_similar_ones(open_page, picture) -> None:
    page = open_page()
    assert "tiny knows 3 classes: a, b, c." in page.inner_text("#about")
    page.set_input_files("#pick", picture)
    bars = shown(page)
    assert bars[0].split()[0] == "b"
    assert sum(float(bar.split()[1]) for bar in bars) == pytest.approx(100, abs=0.2)
    assert page.inner_text(".answer h2") in ("b", "Perhaps: b")
    widths = page.eval_on_selector_all(".fill", "(all) => all.map((one) => one.offsetWidth)")
    assert widths == sorted(widths, reverse=True)
    until(
        page,
        "[...document.querySelectorAll('.similar img')].length == 6 && "
        "[...document.querySelectorAll('.similar img')].every((i) => i.naturalWidth > 0)",
    )
    assert page.locator(".shown").evaluate("(image) => image.naturalWidth") == 320
    assert page.inner_text("#status") == ""
    shot(page, "answer")


@pytest.mark.parametrize(("strips", "slash"), [(True, "/"), (False, "/"), (True, "")])
def test_it_works_below_a_prefix(open_page, below, picture, strips, slash) -> None:
    """With scripts, styles and pictures from below it only, or the fixture complains."""
    with proxy(below.address, "/pictures", strips=strips) as address:
        page = open_page(f"{address}{slash}")
        page.set_input_files("#pick", picture)
        assert shown(page)[0].split()[0] == "b"
        until(page, "document.querySelector('.similar img')?.naturalWidth > 0")
        assert page.evaluate("getComputedStyle(document.body).maxWidth") == "736px"
        assert page.evaluate("document.querySelector('footer a').href").startswith(address)
        page.close()  # What it still asks for would find no proxy any more.


def test_a_proxy_alone_is_enough_for_it(open_page, served, picture) -> None:
    with proxy(served.address, "/pictures", strips=True) as address:
        page = open_page(f"{address}/")
        page.set_input_files("#pick", picture)
        assert shown(page)[0].split()[0] == "b"
        page.close()  # What it still asks for would find no proxy any more.


def test_pictures_can_be_dropped_and_pasted(open_page) -> None:
    page = open_page()
    drop(page, encoded(stripe(2)), "dropped.png")
    page.wait_for_selector("text=dropped.png")
    paste(page, encoded(stripe(0)), "pasted.png")
    page.wait_for_selector("text=pasted.png")
    assert page.locator(".answer .file").all_inner_texts() == ["pasted.png", "dropped.png"]


def test_several_pictures_and_a_bad_one(open_page, picture, tmp_path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    page = open_page(allowed="415")
    page.set_input_files("#pick", [picture, tmp_path / "bad.png", picture])
    page.wait_for_selector("#status.wrong")
    until(page, "document.querySelectorAll('.answer').length == 2")
    assert page.inner_text("#status") == "'bad.png': not a JPEG, PNG or WebP picture"
    shot(page, "refused")


def test_what_is_no_picture_is_said_to_be_none(open_page, tmp_path) -> None:
    page = open_page()
    paste(page, b"", "")
    assert page.inner_text("#status") == "There is no picture in the clipboard."
    drop(page, b"", "")
    assert "Only picture files can be dropped" in page.inner_text("#status")
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(17 << 20)
    page.set_input_files("#pick", huge)
    page.wait_for_selector("text='huge.png': a picture may have 16 MiB, but has 17")


def test_a_service_that_is_gone_is_said_to_be(open_page, start, best, picture) -> None:
    service = start("--model", best)
    page = open_page(service.url, allowed="ERR_CONNECTION_REFUSED")
    service.stop()
    page.set_input_files("#pick", picture)
    page.wait_for_selector("text=The service does not answer. Is it still running?")


def test_an_unsure_answer_warns(open_page, start, best, tmp_path) -> None:
    path = tmp_path / "holiday.jpg"
    path.write_bytes(encoded(scene(640, 480), "JPEG"))
    page = open_page(start("--model", best, "--unsure-below", 1).url, color_scheme="dark")
    page.set_input_files("#pick", path)
    page.wait_for_selector(".unsure")
    assert "is below the threshold of 100.0\u00a0%. It was set by" in page.inner_text(".unsure")
    assert page.inner_text(".answer h2").startswith("Perhaps: ")
    assert page.locator(".similar").is_hidden()
    shot(page, "dark")


def test_everything_can_be_done_by_keyboard(open_page, picture) -> None:
    page, choosers = open_page(), []
    # Long before the key that opens it: the browser must have heard of it by then.
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pick"
    outline = "getComputedStyle(document.querySelector('#pick + .button')).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Enter")
    wait_until(lambda: page.wait_for_timeout(50) or choosers)
    choosers[0].set_files(picture)
    shown(page)
    until(page, "document.activeElement.className == 'answer'")
    shot(page, "keyboard")


def test_a_key_is_asked_for_and_used(open_page, start, best, index, picture) -> None:
    key = "a-key-of-sixteen-letters"
    service = start("--model", best, "--index", index, env={"CONVSEARCH_API_KEY": key})
    page = open_page(service.url, allowed="401")
    page.wait_for_selector("#key-form:not([hidden])")
    page.fill("#key", "wrong")
    page.press("#key", "Enter")
    page.wait_for_selector("#status.wrong")
    page.fill("#key", key)
    page.press("#key", "Enter")
    page.wait_for_selector("#key-form", state="hidden")
    page.set_input_files("#pick", picture)
    assert len(shown(page)) == 3
    until(page, "document.querySelector('.similar img')?.naturalWidth > 0")


def test_it_shows_where_the_model_looks_if_it_is_asked(
    open_page, start, explained, tmp_path
) -> None:
    for number in range(2):
        Image.fromarray(corners(2, seed=7)[0][number]).resize((320, 320), 0).save(
            tmp_path / f"{number}.png"
        )
    page = open_page(start("--model", explained, "--processes", 1).url)
    assert page.locator("#explain").is_visible()
    assert not page.locator("#explain").is_checked()
    page.set_input_files("#pick", tmp_path / "0.png")
    shown(page)
    assert page.locator(".looks").is_hidden()
    # What is there already is explained, and not any more.
    page.get_by_label("Show where the model looks").check()
    overlays = (
        "[...document.querySelectorAll('.looks:not([hidden]) img')].map(i => i.naturalWidth)"
    )
    until(page, f"{overlays}.join() == '224'")
    assert page.inner_text(".looks") == "Where the model sees red: yellow most, dark blue least."
    page.locator("#explain").uncheck()
    assert page.locator(".looks").is_hidden()
    page.locator("#explain").check()
    page.set_input_files("#pick", tmp_path / "1.png")
    until(page, f"{overlays}.join() == '224,224'")
    assert page.locator(".looks img").first.get_attribute("alt") == "Where the model sees green"
    assert page.inner_text("#status") == ""
    shot(page, "looks")


def test_a_model_that_cannot_show_where_it_looks_says_so(open_page) -> None:
    page = open_page()
    assert page.locator("#explain").is_hidden()
    reason = "This model cannot show where it looks: at this image size, the last map of convnet"
    assert reason in page.inner_text("#about")


def test_it_fits_a_phone_and_takes_photos_there(open_page, picture) -> None:
    page = open_page(**PHONE)
    assert page.locator(".camera").is_visible()
    page.set_input_files("#camera", picture)
    shown(page)
    until(page, "document.querySelector('.similar img')?.naturalWidth > 0")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for button in page.locator(".button").all():
        assert button.bounding_box()["height"] >= 40
    shot(page, "phone")


def test_everything_has_a_name_for_those_who_cannot_see(open_page, picture) -> None:
    page = open_page()
    page.set_input_files("#pick", picture)
    shown(page)
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("h1").count() == 1
    assert page.eval_on_selector_all("img", "(all) => all.every((image) => image.alt)")
    unnamed = "(all) => all.filter((one) => !one.labels.length).map((one) => one.id)"
    assert page.eval_on_selector_all("input", unnamed) == []
    assert page.locator("[role=status]").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_told_apart(open_page, scheme) -> None:
    """WCAG AA: text has a contrast of 4.5 to its background."""
    page = open_page(color_scheme=scheme)
    colours = json.loads(page.evaluate(COLOURS))
    for text, paper in (("ink", "paper"), ("faint", "paper"), ("faint", "card"), ("ink", "card"),
                        ("on-accent", "accent"), ("warn", "warn-paper"), ("wrong", "paper"),
                        ("accent", "paper")):  # fmt: skip
        light, dark = sorted((luminance(colours[text]), luminance(colours[paper])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, paper)


COLOURS = """() => {
    const probe = document.body.appendChild(document.createElement("i")), found = {};
    for (const name of ["ink", "paper", "faint", "card", "accent", "on-accent", "warn",
                        "warn-paper", "wrong"]) {
        probe.style.color = `var(--${name})`;
        found[name] = getComputedStyle(probe).color.match(/\\\\d+/g).map(Number);
    }
    return JSON.stringify(found);
}""".replace("\\\\", "\\")


def luminance(colour: list[int]) -> float:
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (v / 255 for v in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
