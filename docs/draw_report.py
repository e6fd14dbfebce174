"""Draws docs/report-*.png: what a report looks like, from one that was written.

python docs/draw_report.py runs/cifar10-cpu/report/index.html
"""

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.browser import FLAGS, chromium

DESKTOP, PHONE = {"width": 1120, "height": 1010}, {"width": 390, "height": 844}
GAP = 14

_FROM_TO = """([first, last]) => {
    scrollTo(0, 0);
    const a = document.querySelector(first).getBoundingClientRect();
    const b = document.querySelector(last).getBoundingClientRect();
    const x = Math.min(a.left, b.left) - 12, y = a.top - 12;
    return {x, y, width: Math.max(a.right, b.right) + 12 - x, height: b.bottom + 12 - y};
}"""


def main(report: Path) -> None:
    """The answer, the search, two diagnoses and the model; four screens of a phone."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        light = opened(browser, report, DESKTOP, "light")
        save(light.screenshot(), "answer")
        save(part(light, "#curves", "#edf"), "search")
        dark = opened(browser, report, DESKTOP, "dark")
        save(part(dark, "#finding-seeds", "#finding-more"), "diagnosis")
        save(part(dark, "#training", "#confusion-shares"), "model")
        phone = opened(browser, report, PHONE, "light")
        save(screens(phone, ["h1", "#curves", "#finding-ranges", "#errors"]), "phone")
        browser.close()


def opened(browser: Any, report: Path, viewport: dict[str, int], colours: str) -> Any:
    """The page with all figures drawn."""
    phone = viewport == PHONE
    page = browser.new_page(
        viewport=viewport, color_scheme=colours, is_mobile=phone, has_touch=phone
    )
    page.goto(report.resolve().as_uri())
    page.wait_for_selector("html[data-drawn=all]", timeout=60_000)
    return page


def part(page: Any, first: str, last: str) -> bytes:
    """From one element to another."""
    shot: bytes = page.screenshot(full_page=True, clip=page.evaluate(_FROM_TO, [first, last]))
    return shot


def screens(page: Any, places: list[str]) -> bytes:
    """One screen for each place, side by side."""
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'")
    sheet = Image.new("RGB", (len(places) * (width + GAP) - GAP, height), "#888")
    for number, place in enumerate(places):
        page.evaluate("place => document.querySelector(place).scrollIntoView()", place)
        page.wait_for_timeout(300)
        sheet.paste(Image.open(BytesIO(page.screenshot())), (number * (width + GAP), 0))
    held = BytesIO()
    sheet.resize((sheet.width * 3 // 4, sheet.height * 3 // 4)).save(held, "PNG")
    return held.getvalue()


def save(png: bytes, name: str) -> None:
    """As few bytes as flat colours need."""
    path = Path(__file__).with_name(f"report-{name}.png")
    picture = Image.open(BytesIO(png)).convert("RGB")
    small = picture.quantize(200, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    print(f"{path} {picture.size} {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
