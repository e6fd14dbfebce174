"""The figures of a report: functions from numbers to drawings, without colours of a theme."""

from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True)
class Drawing:
    """A place for a figure.

    Attributes:
        key: Its name in the page.
        title: Its heading.
        figure: What is drawn; None when there is nothing to draw.
        alt: What it shows, in a sentence.
        caption: How to read it.
        missing: Why nothing is drawn.
        height: In pixels.
        width: "full", "half" or "third" of the page.
        wide: Whether it keeps its width on a phone, and scrolls sideways there.
    """

    key: str
    title: str
    figure: go.Figure | None = None
    alt: str = ""
    caption: str = ""
    missing: str = ""
    height: int = 380
    width: str = "full"
    wide: bool = False
