"""The parameters: what matters, and the plots that Optuna draws, in the style of the page."""

from collections.abc import Iterator
from itertools import combinations

import optuna.visualization as drawn
import plotly.graph_objects as go
from optuna.study import Study
from plotly.colors import sample_colorscale

from records.words import percent
from reports.figures import BLUE, GREY, ORANGE, SCALE, Drawing, figure, plain, readable_ticks
from reports.numbers.parameters import Importances, chosen, replica, searched
from reports.numbers.summary import Summary
from reports.source import Source

_MOST_LINES, _MOST_SLICES = 150, 12
_VALUE = "validation accuracy"


def parameter_drawings(summary: Summary, source: Source) -> Iterator[Drawing]:
    """Importances, and the plots that Optuna draws."""
    found = summary.importances
    if source.space is None or found is None:
        nothing = "The study does not say what was searched, so nothing can be drawn of it."
        yield Drawing("parameters", "Parameters", missing=nothing)
        return
    yield _importances(found)
    copy = replica(source.trials, source.space)
    names = searched(copy)
    if not names or found.n < 2:
        few = "This needs at least two complete trials with different parameters."
        yield Drawing("slices", "Accuracy by parameter", missing=few)
        return
    yield _distribution(copy, found.n)
    for name in names[:_MOST_SLICES]:
        yield _slice(copy, name)
    # Optuna's plots of several parameters grow with the square of the trials.
    some = replica(source.trials, source.space, chosen(source.trials, _MOST_LINES))
    shown = f"{min(found.n, _MOST_LINES)} of {found.n} complete trials, the best among them"
    important = [p.name for p in found.parameters] or names
    top = [name for name in important if name in searched(some)][:3]
    for first, second in combinations(top, 2):
        yield _rank(some, first, second)
    if len(top) > 1:
        yield _contour(some, top[0], top[1], shown)
    yield _parallel(some, len(names), shown)


def _importances(found: Importances) -> Drawing:
    key, title, n = "importances", "What matters", found.n
    if not found.parameters:
        few = f"Importances need ten complete trials of different accuracy; there are {n}."
        return Drawing(key, title, missing=few, width="half")
    first, shown = found.parameters[0], list(reversed(found.parameters))
    bars = go.Bar(
        orientation="h", x=[p.share for p in shown], y=[p.name for p in shown], marker_color=BLUE,
        text=[f"{p.share:.0%}" for p in shown], textposition="auto",
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )  # fmt: skip
    rough = " With so few trials, read it as a hint." if n < 50 else ""
    return Drawing(
        key, title,
        figure([bars], "share of the importance", "", xaxis_tickformat=".0%", bargap=0.35),
        f"Most important is {first.name} with {percent(first.share, 0)}.",
        f"PED-ANOVA: what decides whether a trial is among the best {found.good} of the {n} "
        f"complete ones.{rough}",
        width="half",
    )  # fmt: skip


def _distribution(study: Study, n: int) -> Drawing:
    edf = drawn.plot_edf(study, target_name=_VALUE)
    edf.update_traces(
        line={"color": BLUE, "width": 2}, name="complete trials",
        hovertemplate="%{y:.0%} of the trials were at or below %{x:.2%}<extra></extra>",
    )  # fmt: skip
    edf.update_layout(showlegend=False)
    edf.update_yaxes(title="share of the complete trials", tickformat=".0%")
    edf.update_xaxes(title=_VALUE, tickformat=".0%")
    return Drawing(
        "edf", "Distribution of the results", plain(edf),
        f"Share of the {n} complete trials at or below each accuracy.",
        f"How many of the {n} complete trials were at or below an accuracy.", width="half",
    )  # fmt: skip


def _slice(study: Study, name: str) -> Drawing:
    slices = drawn.plot_slice(study, params=[name], target_name=_VALUE)
    slices.update_traces(
        marker={"colorscale": SCALE, "showscale": False, "size": 8, "opacity": 0.85,
                "line": {"width": 0}},
        hovertemplate="%{x}: %{y:.2%}<extra></extra>",
    )  # fmt: skip
    slices.update_yaxes(tickformat=".0%", title=_VALUE)
    return Drawing(
        f"slice-{name}", f"Accuracy by {name}", readable_ticks(plain(slices)),
        f"Validation accuracy of the complete trials by {name}.",
        "Blue: early trials; orange: late ones.", height=300, width="third",
    )  # fmt: skip


def _rank(study: Study, first: str, second: str) -> Drawing:
    ranks = drawn.plot_rank(study, params=[first, second], target_name=_VALUE)
    # The second trace only carries a colour bar, which takes a third of a small figure.
    ranks.data = ranks.data[:1]
    ranks.update_traces(marker={"size": 10})
    return Drawing(
        f"rank-{first}-{second}", f"{first} and {second}", readable_ticks(plain(ranks)),
        f"Ranks of the trials by {first} and {second}.",
        "Red: the best trials; blue: the worst.", height=320, width="third",
    )  # fmt: skip


def _contour(study: Study, first: str, second: str, shown: str) -> Drawing:
    contour = drawn.plot_contour(study, params=[first, second], target_name=_VALUE)
    contour.update_traces(
        colorscale="Cividis", reversescale=False, selector={"type": "contour"},
        colorbar={"outlinewidth": 0, "thickness": 12, "title": {"text": ""}, "tickformat": ".0%"},
    )  # fmt: skip
    marker = {"color": ORANGE, "size": 6, "line": {"width": 1, "color": "white"}}
    contour.update_traces(marker=marker, selector={"type": "scatter"})
    contour.update_layout(showlegend=False)
    return Drawing(
        "contour", f"Accuracy over {first} and {second}", readable_ticks(plain(contour)),
        f"Validation accuracy over {first} and {second}, the two most important parameters.",
        f"Interpolated between {shown}; where there are no points, there is no knowledge.",
        height=420,
    )  # fmt: skip


def _parallel(study: Study, parameters: int, shown: str) -> Drawing:
    parallel = drawn.plot_parallel_coordinate(study, target_name=_VALUE)
    lines = [trace for trace in parallel.data if trace.mode == "lines"]
    for trace in lines:
        share = min(max(float(trace.y[0]), 0.0), 1.0)
        trace.line.color = str(sample_colorscale(SCALE, share)[0])
    # The best ones lie on top; what is left out only carries a colour bar.
    parallel.data = sorted(lines, key=lambda trace: float(trace.y[0]))
    parallel.update_xaxes(ticktext=["accuracy", *parallel.layout.xaxis.ticktext[1:]])
    plain(parallel).update_layout(margin={"l": 48, "r": 24})
    parallel.update_annotations(font={"color": GREY})
    return Drawing(
        "parallel", "Parallel coordinates", parallel,
        f"One line per trial over {parameters} parameters, coloured by accuracy.",
        f"One line per trial: {shown}. Orange: the best.", height=440, wide=True,
    )  # fmt: skip
