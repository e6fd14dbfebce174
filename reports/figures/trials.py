"""The search, trial by trial: results, learning curves, the time line."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import plotly.graph_objects as go

from reports.figures.theme import BLUE, GREEN, GREY, ORANGE, PERCENT, PURPLE, epoch_axis, figure
from reports.numbers.curves import Curve, Curves
from reports.numbers.history import Bar, Point, Timeline

_LOOKS: dict[str, tuple[str, str]] = {
    "complete": (BLUE, "circle"),
    "pruned": (GREY, "x-thin-open"),
    "diverged": (ORANGE, "triangle-down"),
    "out of memory": (ORANGE, "square"),
    "timed out": (PURPLE, "diamond"),
    "failed": (PURPLE, "cross-thin-open"),
    "running": (GREEN, "circle-open"),
    "waiting": (GREY, "circle-open"),
    "requeued": (GREY, "line-ew-open"),
}


def history_figure(points: Sequence[Point]) -> go.Figure:
    """Results by trial number, and the best so far."""
    traces: list[Any] = []
    for kind in _kinds(points):
        these = [p for p in points if p.kind == kind and p.value is not None]
        colour, symbol = _LOOKS[kind]
        traces.append(
            go.Scatter(
                x=[p.number for p in these],
                y=[p.value for p in these],
                mode="markers",
                name=kind,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"width": 1.5}},
                hovertemplate="trial %{x}: %{y:.2%}",
            )
        )
    best = [p for p in points if p.best is not None]
    traces.append(
        go.Scatter(
            x=[p.number for p in best],
            y=[p.best for p in best],
            mode="lines",
            name="best so far",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
            hovertemplate="best up to trial %{x}: %{y:.2%}",
        )
    )
    return figure(traces, "trial", "validation accuracy", yaxis_tickformat=PERCENT)


def curves_figure(curves: Curves, best: int | None) -> go.Figure:
    """Validation accuracy by epoch of all trials, and the bar that the pruner sets.

    Args:
        curves: The curves and the bar.
        best: Number of the trial to point out.
    """
    groups = {
        "complete": [c for c in curves.curves if c.kind == "complete" and c.number != best],
        "pruned": [c for c in curves.curves if c.kind == "pruned"],
        "running": [c for c in curves.curves if c.kind == "running"],
        "ended otherwise": [
            c for c in curves.curves if c.kind not in ("complete", "pruned", "running")
        ],
        f"best (trial {best})": [c for c in curves.curves if c.number == best],
    }
    colours = (BLUE, GREY, GREEN, PURPLE, ORANGE)
    traces: list[Any] = []
    for (name, group), colour in zip(groups.items(), colours, strict=True):
        if group:
            traces += _lines(group, name, colour, 3 if name.startswith("best") else 1)
    if curves.bar:
        traces.append(_bar(curves))
    return figure(
        traces, "epoch", "validation accuracy", yaxis_tickformat=PERCENT, hovermode="closest",
        xaxis=epoch_axis(max(c.epochs[-1] for c in curves.curves)),
    )  # fmt: skip


def timeline_figure(timeline: Timeline) -> go.Figure:
    """Who ran what when: one row per worker, one bar per trial."""
    traces = []
    # Of bars that are a pixel wide, outlines and patterns would be all that is left.
    few = len(timeline.bars) <= 200
    for kind in _kinds(timeline.bars):
        bars = [bar for bar in timeline.bars if bar.kind == kind]
        traces.append(
            go.Bar(
                orientation="h",
                base=[bar.start for bar in bars],
                x=[_milliseconds(bar.start, bar.end) for bar in bars],
                y=[timeline.lanes[bar.lane] for bar in bars],
                name=kind,
                marker={"color": _LOOKS[kind][0], "line": {"width": 0.5 * few, "color": "#fff"}},
                marker_pattern_shape="/" if few and kind in ("pruned", "requeued") else "",
                customdata=[
                    [bar.number, round((bar.end - bar.start).total_seconds(), 1)] for bar in bars
                ],
                hovertemplate="trial %{customdata[0]}, %{customdata[1]} s",
            )
        )
    return figure(
        traces, "local time", "", barmode="overlay", bargap=0.35,
        xaxis={"type": "date", "nticks": 5, "tickangle": 0}, yaxis={"autorange": "reversed"},
    )  # fmt: skip


def _kinds(items: Iterable[Point | Bar]) -> list[str]:
    found = {item.kind for item in items}
    return [kind for kind in _LOOKS if kind in found]


def _lines(group: Sequence[Curve], name: str, colour: str, width: int) -> list[Any]:
    """All curves of a kind as one trace, with gaps between them: a thousand would be slow."""
    x: list[float | None] = []
    y: list[float | None] = []
    number: list[int | None] = []
    for curve in group:
        x += [*curve.epochs, None]
        y += [*curve.values, None]
        number += [*[curve.number] * len(curve.epochs), None]
    lines = go.Scatter(
        x=x,
        y=y,
        customdata=number,
        mode="lines+markers" if len(group) <= 50 or width > 1 else "lines",
        marker={"size": 3 + width},
        name=name,
        legendgroup=name,
        line={"color": colour, "width": width},
        opacity=1.0 if width > 1 else max(0.25, min(0.8, 20 / len(group))),
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.2%}<extra></extra>",
    )
    return [lines, _ends(group, name, colour)] if name == "pruned" else [lines]


def _ends(group: Sequence[Curve], name: str, colour: str) -> Any:
    ends = [(c.epochs[-1], c.values[-1]) for c in group]
    return go.Scatter(
        x=[x for x, _ in ends],
        y=[y for _, y in ends],
        mode="markers",
        showlegend=False,
        legendgroup=name,
        hoverinfo="skip",
        marker={"color": colour, "symbol": "x-thin-open", "size": 9, "line": {"width": 2}},
    )


def _bar(curves: Curves) -> Any:
    return go.Scatter(
        x=[p.epoch for p in curves.bar],
        y=[p.value for p in curves.bar],
        customdata=[p.n for p in curves.bar],
        mode="lines+markers",
        name=curves.bar_name,
        line={"color": PURPLE, "width": 3, "dash": "dash"},
        marker={
            "size": [11 if p.epoch in curves.looks else 0 for p in curves.bar],
            "symbol": "diamond",
        },
        hovertemplate="epoch %{x}: %{y:.2%} (n = %{customdata})<extra></extra>",
    )


def _milliseconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds() * 1000
