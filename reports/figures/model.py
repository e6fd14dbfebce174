"""The exported model: its training, its errors, its confidence."""

from collections.abc import Iterator, Mapping, Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from records.words import percent
from reports.figures import BLUE, GREEN, GREY, ORANGE, PURPLE, Drawing, epoch_axis, plain
from reports.figures.classes import class_drawings
from reports.numbers.model import Model, Reliability


def model_drawings(model: Model) -> Iterator[Drawing]:
    """Training, errors and confidence of the exported model."""
    yield training(model.curves)
    if model.reliability is not None:
        yield _reliability(model.reliability)
    yield from class_drawings(model)


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
