"""The figures of a report: functions from numbers to `Drawing`s.

A figure itself names only colours that can be told apart on both backgrounds, by people with any
colour vision (after Okabe and Ito, 2008), and never by colour alone. What depends on the
background is in the two templates, which the page swaps.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREEN, PURPLE, GREY = "#1F83C4", "#D55E00", "#009E73", "#CC79A7", "#808690"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#E69F00", GREY)
# From low or early to high or late; visible on both backgrounds.
SCALE = [[0.0, "#56B4E9"], [0.5, "#9B7FB4"], [1.0, "#D55E00"]]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True)
class Drawing:
    """A place for a figure.

    Attributes:
        figure: What is drawn; None when there is nothing to draw.
        alt: What it shows, in a sentence.
        caption: How to read it.
        missing: Why nothing is drawn.
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


def of_objective(drawing: Drawing, name: str) -> Drawing:
    """A drawing of accuracies as one of what was maximised instead, under its name."""
    if name == "accuracy":
        return drawing

    def named(text: str) -> str:
        return text.replace("Accuracy of the winner", f"Winner by {name}").replace(
            "alidation accuracy", f"alidation {name}"
        )

    if drawing.figure is not None:
        for axis in (*drawing.figure.select_xaxes(), *drawing.figure.select_yaxes()):
            if (title := axis.title.text) is not None:
                axis.title.text = name if title == "accuracy" else named(title)
    return replace(drawing, alt=named(drawing.alt), caption=named(drawing.caption))


def figure(traces: list[Any], x: str, y: str, **layout: Any) -> go.Figure:
    """A figure with axis titles, its legend above it, and further keys of Plotly's layout."""
    drawn = go.Figure(traces)
    drawn.update_layout(xaxis_title=x, yaxis_title=y, **layout)
    return plain(drawn)


def plain(drawn: go.Figure) -> go.Figure:
    """The figure without a theme and a title of its own, and with room for labels on a phone."""
    drawn.update_layout(
        template=None, title=None, plot_bgcolor=None, height=None, width=None,
        margin={"l": 8, "r": 22, "t": 10, "b": 8},
        legend={
            "orientation": "h", "x": 0, "xanchor": "left",
            "y": 1.02, "yanchor": "bottom", "traceorder": "normal",
        },
    )  # fmt: skip
    drawn.update_xaxes(automargin=True, title_standoff=8)
    drawn.update_yaxes(automargin=True, title_standoff=8)
    return drawn


def epoch_axis(last: int) -> dict[str, Any]:
    """An axis of epochs up to the last: whole ones, ten labels at most."""
    return {"tick0": 0, "dtick": max(1, math.ceil(last / 10))}


def readable_ticks(drawn: go.Figure) -> go.Figure:
    """The figure with round numbers on logarithmic axes, whole ones where there are no others."""
    for letter, update in (("x", drawn.update_xaxes), ("y", drawn.update_yaxes)):
        columns = (getattr(trace, letter) for trace in drawn.data)
        values = [v for column in columns if column is not None for v in column]
        numbers = [v for v in values if isinstance(v, int | float)]
        if not numbers or len(numbers) < len(values):
            continue
        if drawn.layout[f"{letter}axis"].type == "log":
            ticks = _round_numbers(min(numbers), max(numbers))
            update(tickvals=ticks, ticktext=[f"{tick:g}" for tick in ticks])
        elif all(float(v).is_integer() for v in numbers) and max(numbers) - min(numbers) < 10:
            update(dtick=1)
    return drawn


def _round_numbers(low: float, high: float) -> list[float]:
    """About five of them between two positive numbers, as room on a phone allows."""
    decades = math.log10(high / low)
    firsts = (1, 2, 5) if decades < 1.5 else (1, 3) if decades < 3 else (1,)
    places = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(f"{first}e{place}") for place in places for first in firsts]


def templates() -> dict[str, Any]:
    """Theme name -> Plotly template."""
    return {
        "light": _template("#1c2430", "#e4e7ec", "#c3c9d2", "#ffffff", ["#f4f8fb", "#00517f"]),
        "dark": _template("#e7eaef", "#2b323d", "#4a5361", "#1d232d", ["#202833", "#7cc4f5"]),
    }


def _template(text: str, grid: str, line: str, paper: str, heat: list[str]) -> dict[str, Any]:
    axis = {
        "gridcolor": grid, "linecolor": line, "zerolinecolor": grid, "tickcolor": line,
        "ticks": "outside", "ticklen": 4, "title": {"font": {"size": 13}},
    }  # fmt: skip
    label = {"bgcolor": paper, "bordercolor": line, "font": {"color": text, "family": _FONT}}
    colorbar = {"outlinewidth": 0, "thickness": 12, "tickcolor": line}
    heatmap = {"colorscale": [[0, heat[0]], [1, heat[1]]], "colorbar": colorbar}
    return {
        "data": {"heatmap": [{"type": "heatmap", **heatmap}]},
        "layout": {
            "font": {"family": _FONT, "size": 13, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(COLOURS), "hoverlabel": label, "xaxis": axis, "yaxis": axis,
        },
    }  # fmt: skip
