"""One figure for each thing that can be wrong with a search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawing, epoch_axis, figure
from reports.numbers.cost import More
from reports.numbers.diagnosis import Pruning, Seeds
from reports.numbers.parameters import NEAR, Range
from reports.numbers.summary import Summary

_COLOURS = {
    "complete": BLUE, "pruned": GREY, "paused": "#BBBBBB", "diverged": ORANGE,
    "out of memory": "#E69F00", "timed out": PURPLE, "failed": "#B22222", "running": GREEN,
}  # fmt: skip


def diagnosis_drawings(summary: Summary) -> Iterator[Drawing]:
    """The figures of the findings, under their keys, where there is something to draw."""
    counts = summary.cost.counts
    if any(r.positions for r in summary.ranges):
        yield _ranges(summary.ranges)
    if summary.cost.done or counts.get("failed"):
        yield _outcomes(counts)
    if summary.pruning.early:
        yield _pruning(summary.pruning)
    if summary.seeds.candidates:
        yield _seeds(summary.seeds)
    if any(best is not None for best in summary.more.best):
        yield _more(summary.more)


def _ranges(ranges: Sequence[Range]) -> Drawing:
    rows = [(f"{r.name}<br>{r.low:g} to {r.high:g}{' (log)' if r.log else ''}", r.positions)
            for r in reversed(ranges)]  # fmt: skip
    leading = [(place, name) for name, places in rows for place in places]
    best = [(places[0], name) for name, places in rows if places]
    hover = "%{y}: %{x:.0%} of the range<extra></extra>"
    traces = [
        _dots(leading, "leading trials", hover, color=BLUE, size=10, opacity=0.6),
        _dots(best, "best trial", hover, color=ORANGE, size=13, symbol="diamond"),
    ]
    drawn = figure(
        traces, "place in the range", "",
        xaxis={"range": [-0.03, 1.03], "tickvals": [0, 0.5, 1], "ticktext": ["low", "", "high"]},
    )  # fmt: skip
    for x0, x1 in ((0, NEAR), (1 - NEAR, 1)):
        drawn.add_vrect(x0=x0, x1=x1, fillcolor=ORANGE, opacity=0.12, line_width=0)
    n = max(len(r.positions) for r in ranges)
    return Drawing(
        "ranges", "", drawn,
        f"Places of the {n} leading trials in the ranges of {len(ranges)} parameters.",
        f"The {n} leading trials; the shaded edges are a twentieth of each range.",
        height=110 + 62 * len(ranges),
    )  # fmt: skip


def _outcomes(counts: Mapping[str, int]) -> Drawing:
    traces = [
        go.Bar(
            orientation="h", x=[counts[kind]], y=["trials"], name=f"{kind} ({counts[kind]})",
            marker_color=colour, hovertemplate=f"{kind}: %{{x}}<extra></extra>",
        )
        for kind, colour in _COLOURS.items()
        if counts.get(kind)
    ]  # fmt: skip
    drawn = figure(traces, "trials", "", barmode="stack", yaxis_showticklabels=False)
    said = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    return Drawing("outcomes", "", drawn, f"How the trials ended: {said}.", height=190)


def _pruning(pruning: Pruning) -> Drawing:
    epochs = [e.epoch for e in pruning.early]
    traces = [
        go.Scatter(
            x=epochs, y=[getattr(e, field) for e in pruning.early], name=name, line=line,
            customdata=[e.n for e in pruning.early], mode="lines+markers",
            hovertemplate="%{fullData.name} after epoch %{x}: %{y:.2f} (n = %{customdata})"
            "<extra></extra>",
        )
        for name, field, line in (
            ("rank correlation with the end", "correlation", {"color": BLUE}),
            ("share of pairs that swap later", "swapped", {"color": ORANGE, "dash": "dot"}),
        )
    ]  # fmt: skip
    drawn = figure(traces, "epoch", "", xaxis=epoch_axis(max(epochs)))
    if pruning.first_check:
        drawn.add_vline(
            x=pruning.first_check.epoch, line={"color": GREY, "dash": "dash"},
            annotation={"text": "first check", "font": {"size": 12}, "showarrow": False},
        )  # fmt: skip
    return Drawing(
        "pruning", "", drawn,
        "Rank correlation of the accuracy after each epoch with the final one, and the share "
        "of pairs of trials that swap places later.",
        "Over complete trials only: what pruned ones would have become, nobody knows.",
        height=320,
    )  # fmt: skip


def _seeds(seeds: Seeds) -> Drawing:
    rows = [(f"trial {c.number} (n = {c.n})", c) for c in reversed(seeds.candidates)]
    runs = [(value, name) for name, c in rows for value in c.confirmed]
    means = [(c.mean, name) for name, c in rows]
    searched = [(c.searched, name) for name, c in rows if c.searched is not None]
    hover = "%{y}, %{fullData.name}: %{x:.2%}<extra></extra>"
    traces = [
        _dots(runs, "fresh seed", hover, color=BLUE, size=10, opacity=0.7),
        _dots(means, "mean", hover, color=ORANGE, size=20, symbol="line-ns-open", line=3),
        _dots(searched, "in the search", hover, 2, color=GREY, size=10, symbol="diamond-open"),
    ]
    axis = {"tickformat": ".1%", "nticks": 5, "tickangle": 0}
    return Drawing(
        "seeds", "", figure(traces, "validation accuracy", "", xaxis=axis),
        f"Validation accuracy of {len(rows)} trials, each trained again.",
        height=130 + 54 * len(rows),
    )  # fmt: skip


def _more(more: More) -> Drawing:
    traces = [
        go.Scatter(
            x=list(range(1, len(values) + 1)), y=list(values), name=name, mode="lines", line=line,
            hovertemplate="after %{x} trials: %{y:.2%}<extra></extra>",
        )
        for name, values, line in (
            ("best so far", more.best, {"color": ORANGE, "width": 2, "shape": "hv"}),
            ("in random order, on average", more.by_chance, {"color": GREY, "dash": "dash"}),
        )
    ]  # fmt: skip
    axis = {"tickformat": ".1%", "nticks": 7}
    return Drawing(
        "more", "", figure(traces, "trials done", "validation accuracy", yaxis=axis),
        "The best accuracy so far by trials done, against the mean over random orders.",
        height=320,
    )  # fmt: skip


def _dots(
    points: Sequence[tuple[float, str]], name: str, hover: str, line: float = 0, **marker: Any
) -> go.Scatter:
    return go.Scatter(
        x=[x for x, _ in points], y=[y for _, y in points], mode="markers", name=name,
        marker={**marker, "line": {"width": line}}, hovertemplate=hover,
    )  # fmt: skip
