"""The accuracy of the winner, from what the search claimed to what the test says."""

from collections.abc import Sequence

import plotly.graph_objects as go

from reports.figures.theme import BLUE, figure
from reports.numbers.answer import Estimate


def answer_figure(estimates: Sequence[Estimate]) -> go.Figure:
    """One row per estimate, with its interval."""
    rows = list(reversed(estimates))
    dots = go.Scatter(
        x=[e.accuracy for e in rows],
        y=[e.name for e in rows],
        mode="markers+text",
        text=[f"{e.accuracy:.2%}" for e in rows],
        textposition="top center",
        cliponaxis=False,
        marker={"color": BLUE, "size": 12},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(e.high or e.accuracy) - e.accuracy for e in rows],
            "arrayminus": [e.accuracy - (e.low or e.accuracy) for e in rows],
            "thickness": 2,
            "width": 6,
        },
        hovertemplate="%{y}: %{x:.2%}<extra></extra>",
    )
    return figure(
        [dots], "accuracy", "", xaxis={"tickformat": ".1%", "nticks": 5}, showlegend=False
    )
