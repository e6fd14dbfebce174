"""The exported model: its training, its errors, its confidence."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from reports.exported import ClassQuality
from reports.figures.theme import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PERCENT,
    PURPLE,
    epoch_axis,
    figure,
    plain,
)
from reports.numbers.tested import Reliability

_LABELLED = 20
"""Classes up to which the cells of a confusion matrix hold their numbers."""


def training_figure(curves: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """Loss, training accuracy and learning rate by epoch, one below the other.

    Args:
        curves: Field of the epoch records -> one value per epoch.
    """
    rows = [
        ("train_loss", "loss (nats)", BLUE, ".3~f"),
        ("train_accuracy", "accuracy", GREEN, PERCENT),
        ("lr", "learning rate", PURPLE, ".2~g"),
    ]
    drawn = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for number, (field, title, colour, form) in enumerate(rows, 1):
        trace = go.Scatter(
            x=curves.get("epoch"), y=curves.get(field), mode="lines+markers", line_color=colour,
            hovertemplate=f"epoch %{{x}}: %{{y:{form}}}<extra></extra>",
        )  # fmt: skip
        drawn.add_trace(trace, row=number, col=1)
        drawn.update_yaxes(title=title, tickformat=form, nticks=5, row=number, col=1)
    last = int(max((epoch or 0 for epoch in curves.get("epoch", ())), default=1))
    drawn.update_xaxes(title="epoch", row=len(rows), col=1)
    drawn.update_xaxes(epoch_axis(last))
    drawn.update_layout(showlegend=False)
    return plain(drawn)


def confusion_figure(
    matrix: Sequence[Sequence[float | None]], classes: Sequence[str], *, shares: bool = False
) -> go.Figure:
    """A confusion matrix, true classes downwards, predicted ones across.

    Args:
        matrix: Images, or shares of the true class's images.
        classes: Names, by label.
        shares: Whether the cells are shares in [0, 1].
    """
    names = [_short(name, number) for number, name in enumerate(classes)]
    form = ".0%" if shares else "d"
    cells = go.Heatmap(
        z=matrix,
        x=names,
        y=names,
        texttemplate=f"%{{z:{form}}}" if len(classes) <= _LABELLED else None,
        textfont={"size": 11},
        showscale=len(classes) > _LABELLED,
        colorbar={"tickformat": form},
        xgap=1,
        ygap=1,
        hovertemplate=f"%{{y}} taken for %{{x}}: %{{z:{form}}}<extra></extra>",
    )
    axis = {"showgrid": False, "zeroline": False, "ticks": ""}
    return figure(
        [cells], "predicted class", "true class",
        xaxis={**axis, "tickangle": -45, "constrain": "domain"},
        yaxis={**axis, "autorange": "reversed", "constrain": "domain"},
    )  # fmt: skip


def classes_figure(per_class: Mapping[str, ClassQuality]) -> go.Figure:
    """Precision, recall and F1 of every class, the weakest class at the bottom."""
    order = sorted(per_class.items(), key=lambda item: item[1].f1)
    names = [_short(name, number) for number, (name, _) in enumerate(order)]
    traces = [
        go.Scatter(
            x=[getattr(quality, field) for _, quality in order],
            y=names,
            mode="markers",
            name=title,
            marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{y}, %{fullData.name} %{x:.1%}<extra></extra>",
        )
        for field, title, colour, symbol in (
            ("precision", "precision", BLUE, "triangle-left"),
            ("recall", "recall", GREEN, "triangle-right"),
            ("f1", "F1", ORANGE, "diamond"),
        )
    ]
    return figure(traces, "share", "", xaxis_tickformat=PERCENT)


def reliability_figure(reliability: Reliability) -> go.Figure:
    """Accuracy by confidence, against the diagonal, and how many images lie where."""
    bins = [b for b in reliability.bins if b.n]
    drawn = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.05
    )
    accuracy = go.Bar(
        x=[(b.low + b.high) / 2 for b in bins],
        y=[b.accuracy for b in bins],
        width=[b.high - b.low for b in bins],
        name="accuracy",
        marker={"color": BLUE, "line": {"width": 1, "color": "rgba(127,127,127,.6)"}},
        customdata=[[b.confidence, b.n] for b in bins],
        hovertemplate="confidence %{customdata[0]:.1%}, accuracy %{y:.1%} "
        "(n = %{customdata[1]})<extra></extra>",
    )
    ideal = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as confident as right", hoverinfo="skip",
        line={"color": ORANGE, "dash": "dash"},
    )  # fmt: skip
    images = go.Bar(
        x=accuracy.x, y=[b.n for b in bins], width=accuracy.width, marker_color=GREY,
        showlegend=False, hovertemplate="%{y} images<extra></extra>",
    )  # fmt: skip
    for trace, row in ((accuracy, 1), (ideal, 1), (images, 2)):
        drawn.add_trace(trace, row=row, col=1)
    drawn.update_yaxes(title="accuracy", range=[0, 1], tickformat=PERCENT, row=1, col=1)
    drawn.update_yaxes(title="images", nticks=3, row=2, col=1)
    drawn.update_xaxes(range=[0, 1], tickformat=PERCENT)
    drawn.update_xaxes(title="confidence", row=2, col=1)
    return plain(drawn)


def _short(name: str, number: int) -> str:
    """A class name as an axis label: it may be long, and Plotly takes `<` for markup."""
    safe = _escape(name)
    return safe if len(name) <= 18 else f"{_escape(name[:14])}... #{number}"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
