"""Draws docs/dashboard.png: `python docs/draw_dashboard.py http://127.0.0.1:8080/ TRIAL`.

The dashboard must be running; the one in the picture was that of a search that went on. It needs
playwright and Chromium, as the tests do.
"""

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser import FLAGS, chromium

WIDTH, HEIGHT, GAP = 1000, 890, 20


def main(url: str, trial: str) -> None:
    """Put the study's first page beside its note and the note of a trial."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        paths = ("", "/note", f"/trials?numbers={trial}")
        top, note, one = (picture(page, f"{url}dashboard/studies/1{path}") for path in paths)
        browser.close()
    whole = Image.new("RGB", (2 * WIDTH + GAP, 2 * HEIGHT), "white")
    whole.paste(top.crop((0, 0, WIDTH, 2 * HEIGHT)), (0, 0))
    whole.paste(note.crop((0, 0, WIDTH, HEIGHT)), (WIDTH + GAP, 0))
    whole.paste(one.crop((0, 0, WIDTH, HEIGHT)), (WIDTH + GAP, HEIGHT))
    small = whole.resize((whole.width * 5 // 8, whole.height * 5 // 8), Image.Resampling.LANCZOS)
    colours = small.quantize(96, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    colours.save(Path(__file__).with_name("dashboard.png"), optimize=True)


def picture(page: Page, url: str) -> Image.Image:
    """A whole page once it has drawn itself."""
    page.goto(url)
    page.wait_for_timeout(4000)
    return Image.open(io.BytesIO(page.screenshot(full_page=True))).convert("RGB")


if __name__ == "__main__":
    main(*sys.argv[1:])
