"""One figure for each thing that can be wrong with a search."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from reports.figures.theme import BLUE, GREEN, GREY, ORANGE, PERCENT, PURPLE, epoch_axis, figure
from reports.numbers.more import More
from reports.numbers.pruning import Pruning
from reports.numbers.ranges import NEAR, Range
from reports.numbers.seeds import Seeds
from reports.replica import Importances

_COLOURS: dict[str, str] = {
    "complete": BLUE,
    "pruned": GREY,
    "diverged": ORANGE,
    "out of memory": "#E69F00",
    "timed out": PURPLE,
    "failed": "#B22222",
    "running": GREEN,
}


def importances_figure(importances: Importances) -> go.Figure:
    """How much each parameter matters."""
    shown = list(reversed(importances.parameters))
    bars = go.Bar(
        orientation="h",
        x=[p.share for p in shown],
        y=[p.name for p in shown],
        marker_color=BLUE,
        text=[f"{p.share:.0%}" for p in shown],
        textposition="auto",
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    return figure([bars], "share of the importance", "", xaxis_tickformat=PERCENT, bargap=0.35)


def ranges_figure(ranges: Sequence[Range]) -> go.Figure:
    """Where in their ranges the leading trials lie."""
    leading: list[tuple[float, str]] = []
    for r in reversed(ranges):
        leading += [(p, _ends(r)) for p in r.positions]
    best = [(r.positions[0], _ends(r)) for r in reversed(ranges) if r.positions]
    traces = [
        _dots(leading, "leading trials", {"color": BLUE, "size": 10, "opacity": 0.6}),
        _dots(best, "best trial", {"color": ORANGE, "size": 13, "symbol": "diamond"}),
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
    epochs, n = [e.epoch for e in pruning.early], [e.n for e in pruning.early]
    text = "%{fullData.name} after epoch %{x}: %{y:.2f} (n = %{customdata})<extra></extra>"
    correlation = go.Scatter(
        x=epochs, y=[e.correlation for e in pruning.early], customdata=n,
        name="rank correlation with the end", line_color=BLUE, hovertemplate=text,
    )  # fmt: skip
    swapped = go.Scatter(
        x=epochs, y=[e.swapped for e in pruning.early], customdata=n, hovertemplate=text,
        name="share of pairs that swap later", line={"color": ORANGE, "dash": "dot"},
    )  # fmt: skip
    for trace in (correlation, swapped):
        trace.mode = "lines+markers"
    drawn = figure([correlation, swapped], "epoch", "", xaxis=epoch_axis(max(epochs)))
    if pruning.look:
        drawn.add_vline(
            x=pruning.look.epoch, line={"color": GREY, "dash": "dash"},
            annotation={"text": "first look", "font": {"size": 12}, "showarrow": False},
        )  # fmt: skip
    return drawn


def seeds_figure(seeds: Seeds) -> go.Figure:
    """Every confirmation, their means, and what the search had said."""
    rows = list(reversed(seeds.candidates))
    name = {c.number: f"trial {c.number} (n = {c.n})" for c in rows}
    runs = [(value, name[c.number]) for c in rows for value in c.confirmed]
    means = [(c.mean, name[c.number]) for c in rows]
    searched = [(c.searched, name[c.number]) for c in rows if c.searched is not None]
    traces = [
        _dots(runs, "fresh seed", {"color": BLUE, "size": 10, "opacity": 0.7}),
        _dots(means, "mean", {"color": ORANGE, "size": 20, "symbol": "line-ns-open"}, 3),
        _dots(searched, "in the search", {"color": GREY, "size": 10, "symbol": "diamond-open"}, 2),
    ]
    for trace in traces:
        trace.hovertemplate = "%{y}, %{fullData.name}: %{x:.2%}<extra></extra>"
    return figure(
        traces, "validation accuracy", "", xaxis={"tickformat": ".1%", "nticks": 5, "tickangle": 0}
    )


def more_figure(more: More) -> go.Figure:
    """The best so far, and what chance alone would have made of the same trials."""
    trials = list(range(1, len(more.best) + 1))
    traces = [
        go.Scatter(
            x=trials, y=list(more.best), name="best so far", mode="lines",
            line={"color": ORANGE, "width": 2, "shape": "hv"},
        ),
        go.Scatter(
            x=trials, y=list(more.by_chance), name="in random order, on average",
            mode="lines", line={"color": GREY, "dash": "dash"},
        ),
    ]  # fmt: skip
    for trace in traces:
        trace.hovertemplate = "after %{x} trials: %{y:.2%}<extra></extra>"
    return figure(
        traces, "trials done", "validation accuracy", yaxis={"tickformat": ".1%", "nticks": 7}
    )


def _ends(r: Range) -> str:
    return f"{r.name}<br>{r.low:g} to {r.high:g}{' (log)' if r.log else ''}"


def _dots(
    points: Sequence[tuple[float, str]], name: str, marker: dict[str, Any], line: float = 0
) -> go.Scatter:
    return go.Scatter(
        x=[x for x, _ in points],
        y=[y for _, y in points],
        mode="markers",
        name=name,
        marker={**marker, "line": {"width": line}},
        hovertemplate="%{y}: %{x:.0%} of the range<extra></extra>",
    )
