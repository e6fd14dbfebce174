"""The exported model: its training, its errors, its confidence."""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from records.evaluation import ClassQuality
from records.words import percent
from reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawing, epoch_axis, figure, plain
from reports.numbers.model import Model, Reliability

_LABELLED = 20  # Classes up to which the cells of a confusion matrix hold their numbers.


def model_drawings(model: Model) -> Iterator[Drawing]:
    """Training, errors and confidence of the exported model."""
    yield training(model.curves)
    if model.reliability is not None:
        yield _reliability(model.reliability)
    if len(model.classes) <= 100:
        yield confusion(model.confusion, model.classes, shares=False)
        yield confusion(model.confusion_shares, model.classes, shares=True)
    yield _by_class(model.per_class, model.macro_f1)


def training(curves: Mapping[str, Sequence[float | None]]) -> Drawing:
    """Loss, training accuracy and learning rate by epoch, from the fields of epoch records."""
    rows = [
        ("train_loss", "loss (nats)", BLUE, ".3~f"),
        ("train_accuracy", "accuracy", GREEN, ".0%"),
        ("lr", "learning rate", PURPLE, ".2~g"),
    ]
    epochs = curves.get("epoch", [])
    drawn = make_subplots(rows=len(rows), cols=1, shared_xaxes=True, vertical_spacing=0.06)
    for number, (field, title, colour, form) in enumerate(rows, 1):
        trace = go.Scatter(
            x=epochs, y=curves.get(field), mode="lines+markers", line_color=colour,
            hovertemplate=f"epoch %{{x}}: %{{y:{form}}}<extra></extra>",
        )  # fmt: skip
        drawn.add_trace(trace, row=number, col=1)
        drawn.update_yaxes(title=title, tickformat=form, nticks=5, row=number, col=1)
    drawn.update_xaxes(title="epoch", row=len(rows), col=1)
    drawn.update_xaxes(epoch_axis(int(max((epoch or 0 for epoch in epochs), default=1))))
    drawn.update_layout(showlegend=False)
    return Drawing(
        "training", "Final training", plain(drawn),
        f"Loss, training accuracy and learning rate over {len(epochs)} epochs.",
        "Of augmented images while training; nothing is validated, since all images are trained "
        "on.", height=520, width="half",
    )  # fmt: skip


def confusion(
    matrix: Sequence[Sequence[float | None]], classes: Sequence[str], *, shares: bool
) -> Drawing:
    """A matrix of images or of their `shares`, true classes downwards, predicted ones across."""
    names, count = [_short(name, number) for number, name in enumerate(classes)], len(classes)
    form = ".0%" if shares else "d"
    cells = go.Heatmap(
        z=matrix, x=names, y=names, texttemplate=f"%{{z:{form}}}" if count <= _LABELLED else None,
        textfont={"size": 11}, showscale=count > _LABELLED, colorbar={"tickformat": form},
        xgap=1, ygap=1, hovertemplate=f"%{{y}} taken for %{{x}}: %{{z:{form}}}<extra></extra>",
    )  # fmt: skip
    axis = {"showgrid": False, "zeroline": False, "ticks": "", "constrain": "domain"}
    title = f"Confusion matrix, {'share of the true class' if shares else 'images'}"
    return Drawing(
        "confusion-shares" if shares else "confusion", title,
        figure(
            [cells], "predicted class", "true class",
            xaxis={**axis, "tickangle": -45}, yaxis={**axis, "autorange": "reversed"},
        ),
        f"{title}, {count} classes; true classes downwards.",
        height=min(760, 300 + 30 * count), width="half" if count <= 12 else "full", wide=count > 6,
    )  # fmt: skip


def _by_class(per_class: Mapping[str, ClassQuality], macro_f1: float) -> Drawing:
    order = sorted(per_class.items(), key=lambda item: item[1].f1)
    names = [_short(name, number) for number, (name, _) in enumerate(order)]
    traces = [
        go.Scatter(
            x=[getattr(quality, field) for _, quality in order], y=names, mode="markers",
            name=title, marker={"color": colour, "symbol": symbol, "size": 11},
            hovertemplate="%{y}, %{fullData.name} %{x:.1%}<extra></extra>",
        )
        for field, title, colour, symbol in (
            ("precision", "precision", BLUE, "triangle-left"),
            ("recall", "recall", GREEN, "triangle-right"),
            ("f1", "F1", ORANGE, "diamond"),
        )
    ]  # fmt: skip
    return Drawing(
        "classes", "Precision, recall and F1 by class",
        figure(traces, "share", "", xaxis_tickformat=".0%"),
        f"Precision, recall and F1 of {len(order)} classes; macro F1 {percent(macro_f1)}.",
        "Sorted by F1.", height=160 + 26 * len(order),
    )  # fmt: skip


def _reliability(found: Reliability) -> Drawing:
    bins = [b for b in found.bins if b.n]
    drawn = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=[0.75, 0.25], vertical_spacing=0.05
    )
    accuracy = go.Bar(
        x=[(b.low + b.high) / 2 for b in bins], y=[b.accuracy for b in bins],
        width=[b.high - b.low for b in bins], name="accuracy",
        marker={"color": BLUE, "line": {"width": 1, "color": "rgba(127,127,127,.6)"}},
        customdata=[[b.confidence, b.n] for b in bins],
        hovertemplate="confidence %{customdata[0]:.1%}, accuracy %{y:.1%} "
        "(n = %{customdata[1]})<extra></extra>",
    )  # fmt: skip
    ideal = go.Scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as confident as right", hoverinfo="skip",
        line={"color": ORANGE, "dash": "dash"},
    )  # fmt: skip
    images = go.Bar(
        x=accuracy.x, y=[b.n for b in bins], width=accuracy.width, marker_color=GREY,
        showlegend=False, hovertemplate="%{y} images<extra></extra>",
    )  # fmt: skip
    drawn.add_traces([accuracy, ideal, images], rows=[1, 1, 2], cols=[1, 1, 1])
    drawn.update_yaxes(title="accuracy", range=[0, 1], tickformat=".0%", row=1, col=1)
    drawn.update_yaxes(title="images", nticks=3, row=2, col=1)
    drawn.update_xaxes(range=[0, 1], tickformat=".0%")
    drawn.update_xaxes(title="confidence", row=2, col=1)
    error = f"expected calibration error {percent(found.error)}"
    sure, right = percent(found.confidence), percent(found.accuracy)
    return Drawing(
        "reliability", "Reliability", plain(drawn), f"Accuracy by confidence; {error}.",
        f"{error.capitalize()}: confidence {sure}, accuracy {right} (n = {found.n:,}). Bars above "
        "the line: the model is better than it says.",
        height=520, width="half",
    )  # fmt: skip


def _short(name: str, number: int) -> str:
    """A class name as an axis label: it may be long, and Plotly takes `<` for markup."""
    return escape(name if len(name) <= 18 else f"{name[:14]}... #{number}", quote=False)
