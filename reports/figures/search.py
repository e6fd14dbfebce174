"""The search: its winner, and trial by trial the results, the learning curves, the time line."""

from collections.abc import Sequence
from typing import Any, TypeVar

import plotly.graph_objects as go

from records.words import percent
from reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawing, epoch_axis, figure
from reports.numbers.summary import Summary, Winner
from reports.numbers.trials import Bar, Curve, Curves, Point, Timeline

Item = TypeVar("Item", Point, Bar)
_MARKS = {
    "complete": {"color": BLUE, "symbol": "circle"},
    "pruned": {"color": GREY, "symbol": "x-thin-open"},
    "paused": {"color": GREY, "symbol": "diamond-open"},
    "diverged": {"color": ORANGE, "symbol": "triangle-down"},
    "out of memory": {"color": ORANGE, "symbol": "square"},
    "timed out": {"color": PURPLE, "symbol": "diamond"},
    "failed": {"color": PURPLE, "symbol": "cross-thin-open"},
    "running": {"color": GREEN, "symbol": "circle-open"},
    "waiting": {"color": GREY, "symbol": "circle-open"},
    "requeued": {"color": GREY, "symbol": "line-ew-open"},
}

# What is said and drawn of trials in a study with several methods.
_METHODS = {"probe": " probe", "fine_tune": " fine-tuning"}
_SHAPES = {"probe": {"symbol": "square-open"}}


def search_drawings(summary: Summary) -> list[Drawing]:
    """Results, curves and time line."""
    points = summary.history
    return [_history(points), _curves(summary.curves, points), _timeline(summary.timeline)]


def winner_drawing(winner: Winner, *, exported: bool) -> Drawing:
    """The accuracy, from what the search claimed to what the test says, with intervals."""
    found, rows = winner.estimates, winner.estimates[::-1]
    intervals = {
        "array": [(e.high or e.accuracy) - e.accuracy for e in rows],
        "arrayminus": [e.accuracy - (e.low or e.accuracy) for e in rows],
    }
    dots = go.Scatter(
        x=[e.accuracy for e in rows], y=[e.name for e in rows], mode="markers+text",
        text=[f"{e.accuracy:.2%}" for e in rows], textposition="top center", cliponaxis=False,
        marker={"color": BLUE, "size": 12},
        error_x={"type": "data", "symmetric": False, **intervals, "thickness": 2, "width": 6},
        hovertemplate="%{y}: %{x:.2%}<extra></extra>",
    )  # fmt: skip
    axis = {"tickformat": ".1%", "nticks": 5}
    said = ", ".join(f"{e.name} {percent(e.accuracy)}" for e in found)
    bars = "; ".join(f"{e.name}: {e.interval} (n = {e.n:,} {e.of})" for e in found if e.n)
    more = " The final training learns from the validation images too." if exported else ""
    return Drawing(
        "estimates", "From claim to test",
        figure([dots], "accuracy", "", xaxis=axis, showlegend=False),
        f"Accuracy of the winner: {said}.", f"Bars: {bars}.{more}" if bars else "",
        height=90 + 70 * len(found),
    )  # fmt: skip


def _history(points: Sequence[Point]) -> Drawing:
    title = "Optimisation history"
    if all(p.value is None for p in points):
        return Drawing("history", title, missing="No trial has ended with a result yet.")
    traces = [
        go.Scatter(
            x=[p.number for p in group if p.value is not None],
            y=[p.value for p in group if p.value is not None], mode="markers",
            name=f"{kind}{_METHODS.get(method, '')}",
            marker={**_MARKS[kind], **_SHAPES.get(method, {}), "size": 8, "line": {"width": 1.5}},
            customdata=[f" ({p.note})" if p.note else "" for p in group if p.value is not None],
            hovertemplate="trial %{x}: %{y:.2%}%{customdata}",
        )
        for method in sorted({p.method for p in points}, reverse=True)
        for kind, group in _by_kind([p for p in points if p.method == method]).items()
    ]  # fmt: skip
    best = [p for p in points if p.best is not None]
    line = go.Scatter(
        x=[p.number for p in best], y=[p.best for p in best], mode="lines", name="best so far",
        line={"color": ORANGE, "width": 2, "shape": "hv"},
        hovertemplate="best up to trial %{x}: %{y:.2%}",
    )  # fmt: skip
    return Drawing(
        "history", title,
        figure([*traces, line], "trial", "validation accuracy", yaxis_tickformat=".0%"),
        f"{len(points)} trials that ended; the best reached {percent(points[-1].best)}.",
        "Every trial that ended, by number; a pruned one with the accuracy that it had last.",
    )  # fmt: skip


def _curves(curves: Curves, points: Sequence[Point]) -> Drawing:
    title, drawn = "Learning curves", curves.curves
    if not drawn:
        return Drawing("curves", title, missing="No trial has reported an epoch.")
    best = next((p.number for p in points if p.value == points[-1].best == p.best), None)
    named = {
        "complete": BLUE,
        "pruned": GREY,
        "paused": GREY,
        "running": GREEN,
        "ended otherwise": PURPLE,
    }
    groups: dict[str, list[Curve]] = {name: [] for name in named}
    for curve in drawn:
        if curve.number != best:
            groups[curve.kind if curve.kind in named else "ended otherwise"].append(curve)
    traces = [line for name, group in groups.items() for line in _lines(group, name, named[name])]
    traces += _lines([c for c in drawn if c.number == best], f"best (trial {best})", ORANGE, 3)
    threshold = moved = ""
    if curves.thresholds:
        traces.append(_threshold(curves))
        threshold = f", with the {curves.threshold_name} as it stands now"
        moved = " Early trials met a lower pruning threshold than today's."
        moved += " Diamonds mark the epochs with a pruning check." if curves.checks else ""
    pruned, last = (
        sum(c.kind in ("pruned", "paused") for c in drawn),
        max(c.epochs[-1] for c in drawn),
    )
    return Drawing(
        "curves", title,
        figure(traces, "epoch", "validation accuracy", yaxis_tickformat=".0%",
               hovermode="closest", xaxis=epoch_axis(last)),
        f"Validation accuracy by epoch of {len(drawn)} trials, {pruned} of them pruned"
        f"{threshold}.",
        f"A cross ends a pruned trial.{moved} "
        "Epochs before the last may be scored on fewer of the validation images.", height=440,
    )  # fmt: skip


def _lines(group: Sequence[Curve], name: str, colour: str, width: int = 1) -> list[Any]:
    """All curves of a kind as one trace, with gaps between them: a thousand would be slow."""
    if not group:
        return []
    lines = go.Scatter(
        x=[x for curve in group for x in (*curve.epochs, None)],
        y=[y for curve in group for y in (*curve.values, None)],
        customdata=[n for c in group for n in (*[c.number] * len(c.epochs), None)],
        mode="lines+markers" if len(group) <= 50 or width > 1 else "lines",
        marker={"size": 3 + width}, name=name, legendgroup=name,
        line={"color": colour, "width": width},
        opacity=1.0 if width > 1 else max(0.25, min(0.8, 20 / len(group))),
        hovertemplate="trial %{customdata}, epoch %{x}: %{y:.2%}<extra></extra>",
    )  # fmt: skip
    if name != "pruned":
        return [lines]
    ends = go.Scatter(
        x=[c.epochs[-1] for c in group], y=[c.values[-1] for c in group], mode="markers",
        showlegend=False, legendgroup=name, hoverinfo="skip",
        marker={"color": colour, "symbol": "x-thin-open", "size": 9, "line": {"width": 2}},
    )  # fmt: skip
    return [lines, ends]


def _threshold(curves: Curves) -> go.Scatter:
    sizes = [11 if p.epoch in curves.checks else 0 for p in curves.thresholds]
    return go.Scatter(
        x=[p.epoch for p in curves.thresholds], y=[p.value for p in curves.thresholds],
        customdata=[p.n for p in curves.thresholds], mode="lines+markers",
        name=curves.threshold_name, line={"color": PURPLE, "width": 3, "dash": "dash"},
        marker={"size": sizes, "symbol": "diamond"},
        hovertemplate="epoch %{x}: %{y:.2%} (n = %{customdata})<extra></extra>",
    )  # fmt: skip


def _timeline(timeline: Timeline) -> Drawing:
    title, lanes, drawn = "Time line", timeline.lanes, timeline.bars
    if not lanes:
        return Drawing("timeline", title, missing="No trial has been started.")
    # Of bars that are a pixel wide, outlines and patterns would be all that is left.
    few = len(drawn) <= 200
    outline = {"width": 0.5 * few, "color": "#fff"}
    axis = {"type": "date", "nticks": 5, "tickangle": 0}
    traces = [
        go.Bar(
            orientation="h", base=[bar.start for bar in bars], name=kind,
            x=[bar.seconds * 1000 for bar in bars], y=[lanes[bar.lane] for bar in bars],
            marker={"color": _MARKS[kind]["color"], "line": outline},
            marker_pattern_shape="/" if few and kind in ("pruned", "requeued") else "",
            customdata=[[bar.number, round(bar.seconds, 1)] for bar in bars],
            hovertemplate="trial %{customdata[0]}, %{customdata[1]} s",
        )
        for kind, bars in _by_kind(drawn).items()
    ]  # fmt: skip
    return Drawing(
        "timeline", title,
        figure(traces, "local time", "", barmode="overlay", bargap=0.35, xaxis=axis,
               yaxis_autorange="reversed"),
        f"When each of {len(drawn)} trials ran, on {len(lanes)} workers.",
        "One row per worker; processes that followed one another share a row.",
        height=150 + 42 * min(len(lanes), 12),
    )  # fmt: skip


def _by_kind(items: Sequence[Item]) -> dict[str, list[Item]]:
    kinds = {item.kind for item in items}
    return {k: [item for item in items if item.kind == k] for k in _MARKS if k in kinds}
