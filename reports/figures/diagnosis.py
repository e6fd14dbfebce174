"""One figure for each thing that can be wrong with a search."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from reports.figures import Drawing
from reports.figures.theme import BLUE, GREEN, GREY, ORANGE, PURPLE, epoch_axis, figure
from reports.numbers.cost import More
from reports.numbers.diagnosis import Pruning, Seeds
from reports.numbers.parameters import NEAR, Range
from reports.numbers.summary import Summary

_COLOURS: dict[str, str] = {
    "complete": BLUE,
    "pruned": GREY,
    "diverged": ORANGE,
    "out of memory": "#E69F00",
    "timed out": PURPLE,
    "failed": "#B22222",
    "running": GREEN,
}


def diagnosis_drawings(summary: Summary) -> Iterator[Drawing]:
    """The figures of the findings, under their keys, where there is something to draw."""
    counts, candidates = summary.cost.counts, summary.seeds.candidates
    if any(r.positions for r in summary.ranges):
        n, ranges = max(len(r.positions) for r in summary.ranges), len(summary.ranges)
        yield Drawing(
            "ranges", "", ranges_figure(summary.ranges),
            f"Places of the {n} leading trials in the ranges of {ranges} parameters.",
            f"The {n} leading trials; the shaded edges are a twentieth of each range.",
            height=110 + 62 * ranges,
        )  # fmt: skip
    if summary.cost.done or counts.get("failed"):
        said = ", ".join(f"{n} {kind}" for kind, n in counts.items())
        yield Drawing(
            "outcomes", "", outcomes_figure(counts), f"How the trials ended: {said}.", height=190
        )
    if summary.pruning.early:
        yield Drawing(
            "pruning", "", pruning_figure(summary.pruning),
            "Rank correlation of the accuracy after each epoch with the final one, and the share "
            "of pairs of trials that swap places later.",
            "Over complete trials only: what pruned ones would have become, nobody knows.",
            height=320,
        )  # fmt: skip
    if candidates:
        yield Drawing(
            "seeds", "", seeds_figure(summary.seeds),
            f"Validation accuracy of {len(candidates)} trials, each trained again.",
            height=130 + 54 * len(candidates),
        )  # fmt: skip
    if any(best is not None for best in summary.more.best):
        yield Drawing(
            "more", "", more_figure(summary.more),
            "The best accuracy so far by trials done, against the mean over random orders.",
            height=320,
        )  # fmt: skip


def ranges_figure(ranges: Sequence[Range]) -> go.Figure:
    """Where in their ranges the leading trials lie."""
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
    return drawn


def outcomes_figure(counts: Mapping[str, int]) -> go.Figure:
    """How the trials ended, as one bar."""
    traces = [
        go.Bar(
            orientation="h", x=[counts[kind]], y=["trials"], name=f"{kind} ({counts[kind]})",
            marker_color=colour, hovertemplate=f"{kind}: %{{x}}<extra></extra>",
        )
        for kind, colour in _COLOURS.items()
        if counts.get(kind)
    ]  # fmt: skip
    return figure(traces, "trials", "", barmode="stack", yaxis_showticklabels=False)


def pruning_figure(pruning: Pruning) -> go.Figure:
    """How well the order after each epoch tells the final one."""
    epochs = [e.epoch for e in pruning.early]
    lines = (
        ("rank correlation with the end", "correlation", {"color": BLUE}),
        ("share of pairs that swap later", "swapped", {"color": ORANGE, "dash": "dot"}),
    )
    traces = [
        go.Scatter(
            x=epochs, y=[getattr(e, field) for e in pruning.early], name=name, line=line,
            customdata=[e.n for e in pruning.early], mode="lines+markers",
            hovertemplate="%{fullData.name} after epoch %{x}: %{y:.2f} (n = %{customdata})"
            "<extra></extra>",
        )
        for name, field, line in lines
    ]  # fmt: skip
    drawn = figure(traces, "epoch", "", xaxis=epoch_axis(max(epochs)))
    if pruning.first_check:
        drawn.add_vline(
            x=pruning.first_check.epoch, line={"color": GREY, "dash": "dash"},
            annotation={"text": "first check", "font": {"size": 12}, "showarrow": False},
        )  # fmt: skip
    return drawn


def seeds_figure(seeds: Seeds) -> go.Figure:
    """Every confirmation, their means, and what the search had said."""
    rows = [(f"trial {c.number} (n = {c.n})", c) for c in reversed(seeds.candidates)]
    runs = [(value, name) for name, c in rows for value in c.confirmed]
    means = [(c.mean, name) for name, c in rows]
    searched = [(c.searched, name) for name, c in rows if c.searched is not None]
    hover = "%{y}, %{fullData.name}: %{x:.2%}<extra></extra>"
    thick, thin = {"width": 3}, {"width": 2}
    traces = [
        _dots(runs, "fresh seed", hover, color=BLUE, size=10, opacity=0.7),
        _dots(means, "mean", hover, color=ORANGE, size=20, symbol="line-ns-open", line=thick),
        _dots(
            searched, "in the search", hover,
            color=GREY, size=10, symbol="diamond-open", line=thin,
        ),
    ]  # fmt: skip
    return figure(
        traces, "validation accuracy", "", xaxis={"tickformat": ".1%", "nticks": 5, "tickangle": 0}
    )


def more_figure(more: More) -> go.Figure:
    """The best so far, and what chance alone would have made of the same trials."""
    lines = (
        ("best so far", more.best, {"color": ORANGE, "width": 2, "shape": "hv"}),
        ("in random order, on average", more.by_chance, {"color": GREY, "dash": "dash"}),
    )
    traces = [
        go.Scatter(
            x=list(range(1, len(values) + 1)), y=list(values), name=name, mode="lines", line=line,
            hovertemplate="after %{x} trials: %{y:.2%}<extra></extra>",
        )
        for name, values, line in lines
    ]  # fmt: skip
    return figure(
        traces, "trials done", "validation accuracy", yaxis={"tickformat": ".1%", "nticks": 7}
    )


def _dots(points: Sequence[tuple[float, str]], name: str, hover: str, **marker: Any) -> go.Scatter:
    """Points at a value, in a row."""
    return go.Scatter(
        x=[x for x, _ in points], y=[y for _, y in points], mode="markers", name=name,
        marker={"line": {"width": 0}, **marker}, hovertemplate=hover,
    )  # fmt: skip
