"""The search: its winner, and trial by trial the results, the learning curves, the time line."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from records.metrics import Estimate
from records.words import percent
from reports.figures import Drawing
from reports.figures.theme import BLUE, GREEN, GREY, ORANGE, PERCENT, PURPLE, epoch_axis, figure
from reports.numbers.summary import Summary
from reports.numbers.trials import Bar, Curve, Curves, Point, Timeline

_MARKS: dict[str, tuple[str, str]] = {
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


def winner_drawing(summary: Summary) -> Drawing | None:
    """The accuracy, from what the search claimed to what the test says."""
    if summary.winner is None:
        return None
    found = summary.winner.estimates
    said = ", ".join(f"{e.name} {percent(e.accuracy)}" for e in found)
    bars = "; ".join(f"{e.name}: {e.interval} (n = {e.n:,} {e.of})" for e in found if e.n)
    more = " The final training learns from the validation images too." if summary.model else ""
    return Drawing(
        "estimates", "From claim to test", estimates_figure(found),
        f"Accuracy of the winner: {said}.", f"Bars: {bars}.{more}" if bars else "",
        height=90 + 70 * len(found),
    )  # fmt: skip


def trial_drawings(summary: Summary) -> Iterator[Drawing]:
    """Results, curves and time line."""
    yield _history(summary.history)
    yield _curves(summary)
    lanes, title = summary.timeline.lanes, "Time line"
    if not lanes:
        yield Drawing("timeline", title, missing="No trial has been started.")
        return
    yield Drawing(
        "timeline", title, timeline_figure(summary.timeline),
        f"When each of {len(summary.timeline.bars)} trials ran, on {len(lanes)} workers.",
        "One row per worker; processes that followed one another share a row.",
        height=150 + 42 * min(len(lanes), 12),
    )  # fmt: skip


def _history(points: Sequence[Point]) -> Drawing:
    title = "Optimisation history"
    if all(p.value is None for p in points):
        return Drawing("history", title, missing="No trial has ended with a result yet.")
    best = max((p.best for p in points if p.best is not None), default=None)
    return Drawing(
        "history", title, history_figure(points),
        f"{len(points)} trials that ended; the best reached {percent(best)}.",
        "Every trial that ended, by number; a pruned one with the accuracy that it had last.",
    )  # fmt: skip


def _curves(summary: Summary) -> Drawing:
    drawn, title = summary.curves, "Learning curves"
    if not drawn.curves:
        return Drawing("curves", title, missing="No trial has reported an epoch.")
    best = max((p.best for p in summary.history if p.best is not None), default=None)
    first = next((p.number for p in summary.history if p.value == best == p.best), None)
    pruned = sum(c.kind == "pruned" for c in drawn.curves)
    threshold = moved = ""
    if drawn.thresholds:
        threshold = f", with the {drawn.threshold_name} as it stands now"
        moved = " Early trials met a lower pruning threshold than today's."
        moved += " Diamonds mark the epochs with a pruning check." if drawn.checks else ""
    return Drawing(
        "curves", title, curves_figure(drawn, first),
        f"Validation accuracy by epoch of {len(drawn.curves)} trials, {pruned} of them pruned"
        f"{threshold}.",
        f"A cross ends a pruned trial.{moved} "
        "Epochs before the last may be scored on fewer of the validation images.",
        height=440,
    )  # fmt: skip


def estimates_figure(estimates: Sequence[Estimate]) -> go.Figure:
    """One row per estimate, with its interval."""
    rows = list(reversed(estimates))
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
    return figure(
        [dots], "accuracy", "", xaxis={"tickformat": ".1%", "nticks": 5}, showlegend=False
    )


def history_figure(points: Sequence[Point]) -> go.Figure:
    """Results by trial number, and the best so far."""
    traces: list[Any] = []
    for kind in _kinds(points):
        these = [p for p in points if p.kind == kind and p.value is not None]
        colour, symbol = _MARKS[kind]
        traces.append(
            go.Scatter(
                x=[p.number for p in these], y=[p.value for p in these], mode="markers", name=kind,
                marker={"color": colour, "symbol": symbol, "size": 8, "line": {"width": 1.5}},
                hovertemplate="trial %{x}: %{y:.2%}",
            )
        )  # fmt: skip
    best = [p for p in points if p.best is not None]
    traces.append(
        go.Scatter(
            x=[p.number for p in best], y=[p.best for p in best], mode="lines", name="best so far",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
            hovertemplate="best up to trial %{x}: %{y:.2%}",
        )
    )  # fmt: skip
    return figure(traces, "trial", "validation accuracy", yaxis_tickformat=PERCENT)


def curves_figure(curves: Curves, best: int | None) -> go.Figure:
    """Validation accuracy by epoch of all trials, and the pruning threshold.

    Args:
        curves: The curves and the threshold.
        best: Number of the trial to point out.
    """
    named = {"complete": BLUE, "pruned": GREY, "running": GREEN, "ended otherwise": PURPLE}
    groups: dict[str, list[Curve]] = {name: [] for name in named}
    for curve in curves.curves:
        if curve.number != best:
            groups[curve.kind if curve.kind in named else "ended otherwise"].append(curve)
    traces: list[Any] = []
    for name, group in groups.items():
        traces += _lines(group, name, named[name], 1)
    pointed_out = [c for c in curves.curves if c.number == best]
    traces += _lines(pointed_out, f"best (trial {best})", ORANGE, 3)
    if curves.thresholds:
        traces.append(_threshold(curves))
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
        seconds = [(bar.end - bar.start).total_seconds() for bar in bars]
        traces.append(
            go.Bar(
                orientation="h", base=[bar.start for bar in bars], x=[s * 1000 for s in seconds],
                y=[timeline.lanes[bar.lane] for bar in bars], name=kind,
                marker={"color": _MARKS[kind][0], "line": {"width": 0.5 * few, "color": "#fff"}},
                marker_pattern_shape="/" if few and kind in ("pruned", "requeued") else "",
                customdata=[
                    [bar.number, round(s, 1)] for bar, s in zip(bars, seconds, strict=True)
                ],
                hovertemplate="trial %{customdata[0]}, %{customdata[1]} s",
            )
        )  # fmt: skip
    return figure(
        traces, "local time", "", barmode="overlay", bargap=0.35,
        xaxis={"type": "date", "nticks": 5, "tickangle": 0}, yaxis={"autorange": "reversed"},
    )  # fmt: skip


def _kinds(items: Iterable[Point | Bar]) -> list[str]:
    found = {item.kind for item in items}
    return [kind for kind in _MARKS if kind in found]


def _lines(group: Sequence[Curve], name: str, colour: str, width: int) -> list[Any]:
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
