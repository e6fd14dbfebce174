"""Plots that Optuna draws, in the style of the page."""

import optuna.visualization as drawn
import plotly.graph_objects as go
from optuna.study import Study

from reports.figures.theme import BLUE, GREY, ORANGE, PERCENT, SCALE, plain, readable_ticks

_VALUE = "validation accuracy"


def slice_figure(study: Study, name: str) -> go.Figure:
    """Accuracy by one parameter, coloured from the first trial to the last."""
    figure = drawn.plot_slice(study, params=[name], target_name=_VALUE)
    figure.update_traces(
        marker={
            "colorscale": SCALE, "showscale": False, "size": 8, "opacity": 0.85,
            "line": {"width": 0},
        },
        hovertemplate="%{x}: %{y:.2%}<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(tickformat=PERCENT, title=_VALUE)
    # Only the parameter's own axis: the accuracies are no whole numbers.
    return readable_ticks(plain(figure))


def rank_figure(study: Study, first: str, second: str) -> go.Figure:
    """Two parameters against each other, coloured by rank."""
    figure = drawn.plot_rank(study, params=[first, second], target_name=_VALUE)
    # The second trace only carries a colour bar, which takes a third of a small figure.
    figure.data = figure.data[:1]
    figure.update_traces(marker={"size": 10})
    return readable_ticks(plain(figure))


def parallel_figure(study: Study) -> go.Figure:
    """Every trial as a line over all parameters; Optuna draws at most as many as were copied."""
    figure = drawn.plot_parallel_coordinate(study, target_name=_VALUE)
    lines = [trace for trace in figure.data if trace.mode == "lines"]
    for trace in lines:
        trace.line.color = _between(float(trace.y[0]))
    # The best ones lie on top; what is left out only carries a colour bar.
    figure.data = sorted(lines, key=lambda trace: float(trace.y[0]))
    figure.update_xaxes(ticktext=["accuracy", *figure.layout.xaxis.ticktext[1:]])
    plain(figure).update_layout(margin={"l": 48, "r": 24})
    figure.update_annotations(font={"color": GREY})
    return figure


def contour_figure(study: Study, first: str, second: str) -> go.Figure:
    """The accuracy over two parameters, interpolated between the trials."""
    figure = drawn.plot_contour(study, params=[first, second], target_name=_VALUE)
    figure.update_traces(
        colorscale="Cividis", reversescale=False, colorbar={**_COLORBAR, "tickformat": PERCENT},
        selector={"type": "contour"},
    )  # fmt: skip
    figure.update_traces(
        marker={"color": ORANGE, "size": 6, "line": {"width": 1, "color": "white"}},
        selector={"type": "scatter"},
    )
    figure.update_layout(showlegend=False)
    return readable_ticks(plain(figure))


def edf_figure(study: Study) -> go.Figure:
    """Which share of the complete trials stayed below an accuracy."""
    figure = drawn.plot_edf(study, target_name=_VALUE)
    figure.update_traces(
        line={"color": BLUE, "width": 2}, name="complete trials",
        hovertemplate="%{y:.0%} of the trials were at or below %{x:.2%}<extra></extra>",
    )  # fmt: skip
    figure.update_layout(showlegend=False)
    figure.update_yaxes(title="share of the complete trials", tickformat=PERCENT)
    figure.update_xaxes(title=_VALUE, tickformat=PERCENT)
    return plain(figure)


_COLORBAR = {"outlinewidth": 0, "thickness": 12, "title": {"text": ""}}


def _between(share: float) -> str:
    """A colour of the scale, as Plotly writes it."""
    from plotly.colors import sample_colorscale

    return str(sample_colorscale(SCALE, min(max(share, 0.0), 1.0))[0])
