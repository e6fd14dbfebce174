"""Opening a report in a browser, and what is on it."""

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

_FIGURES = """() => {
    const marks = [".point path", "path.point", ".js-line", ".heatmaplayer image",
        ".contourlayer path"].map(mark => `.cartesianlayer ${mark}`).join();
    const places = [...document.querySelectorAll("[data-figure]")];
    return Object.fromEntries(places.map(place => [place.dataset.figure, {
        width: place._fullLayout?._size.w ?? 0,
        height: place._fullLayout?._size.h ?? 0,
        marks: place.querySelectorAll(marks).length,
        alt: place.getAttribute("aria-label"),
        text: place.innerText,
    }]));
}"""

DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 375, "height": 800}


@dataclass
class Opened:
    """A page, with all that it said and asked for."""

    page: object
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def figures(self) -> dict[str, dict]:
        """Name -> size of the plot area, marks in it, and its accessible text."""
        return self.page.evaluate(_FIGURES)


@contextmanager
def opened(browser, path: Path, viewport: dict = DESKTOP, colours: str = "light"):
    """The page of this file, once all figures are drawn."""
    phone = viewport["width"] < 600
    context = browser.new_context(
        viewport=viewport, color_scheme=colours, is_mobile=phone, has_touch=phone
    )
    shown = Opened(context.new_page())
    shown.page.on("console", lambda said: shown.complaints.append(said.text))
    shown.page.on("pageerror", lambda fault: shown.complaints.append(str(fault)))
    shown.page.on("request", lambda asked: shown.requests.append(asked.url))
    shown.page.goto(path.as_uri())
    # Not a function: the page's own policy forbids to evaluate text.
    shown.page.wait_for_selector("html[data-drawn=all]", timeout=60_000)
    yield shown
    context.close()
