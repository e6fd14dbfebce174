"""The exported model's plots on the study, where optuna-dashboard shows them.

Only what says how good the model is; the report has all the rest. The dashboard keeps a figure as
text in pieces, attributes of the study. They are written here, since `optuna_dashboard` imports
scikit-learn's forests, which takes longer than everything else after the export.
"""

from collections.abc import Mapping, Sequence
from html import escape

import plotly.graph_objects as go
from optuna.study import Study

from records.metrics import Metrics
from studies.dashboard.notes import PIECE

_MOST_NUMBERS = 20  # Classes up to which the numbers fit into the squares.
# Can be read on the dashboard's white and on its black.
_GREY, _FAINT = "#808080", "rgba(128, 128, 128, 0.3)"


def save_plots(study: Study, metrics: Metrics) -> None:
    """Put the plots of an exported model on its study, in the place of earlier ones."""
    test = metrics.test
    _save(
        study,
        "test-confusion-matrix",
        confusion_matrix(test.confusion_matrix, list(test.per_class)),
    )
    _save(study, "final-training", training_curves(metrics.curves))


def _save(study: Study, name: str, figure: go.Figure) -> None:
    text, begin = figure.to_json(), f"dashboard:plot_data:{name}:"
    pieces = [text[start : start + PIECE] for start in range(0, len(text), PIECE)]
    attributes = study._storage.get_study_system_attrs(study._study_id)
    before = sum(key.startswith(begin) for key in attributes)
    # Pieces cannot be removed; empty ones add nothing.
    for place, piece in enumerate([*pieces, *[""] * (before - len(pieces))]):
        study._storage.set_study_system_attr(study._study_id, f"{begin}{place}", piece)


def confusion_matrix(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> go.Figure:
    """Test images, `(classes, classes)`, by true class (rows) and predicted class (columns)."""
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    names = [escape(name) for name in classes]
    n = sum(sum(row) for row in counts)
    heatmap = go.Heatmap(
        z=shares,
        x=names,
        y=names,
        text=[list(row) for row in counts],
        texttemplate="%{text}" if len(names) <= _MOST_NUMBERS else None,
        hovertemplate="%{y} taken for %{x}: %{text} images, %{z:.1%} of its own<extra></extra>",
        colorscale="Blues",
        zmin=0,
        zmax=1,
        colorbar={"tickformat": ".0%", "title": {"text": "share of<br>true class"}},
    )
    figure = _figure(f"Test images by true and predicted class (n = {n:,})")
    figure.add_trace(heatmap)
    figure.update_xaxes(title="predicted", type="category", showgrid=False)
    return figure.update_yaxes(title="true", type="category", showgrid=False, autorange="reversed")


def training_curves(curves: Mapping[str, Sequence[float | None]]) -> go.Figure:
    """Loss and accuracy of the final training, by epoch, on its own augmented images."""
    figure = _figure("Final training: loss and accuracy on its augmented images")
    epochs = list(curves["epoch"])
    for field, name, axis in (("train_loss", "loss", "y"), ("train_accuracy", "accuracy", "y2")):
        values = list(curves[field])
        figure.add_scatter(x=epochs, y=values, name=name, yaxis=axis, mode="lines+markers")
    figure.update_xaxes(title="epoch")
    return figure.update_layout(
        yaxis={"title": "loss (nats per example)", "rangemode": "tozero"},
        yaxis2={
            "title": "accuracy",
            "overlaying": "y",
            "side": "right",
            "tickformat": ".0%",
            "showgrid": False,
        },
        legend={"orientation": "h", "x": 0, "y": 1.1},
    )


def _figure(title: str) -> go.Figure:
    """An empty figure on the page's own colour, small in the database."""
    axis = {"gridcolor": _FAINT, "linecolor": _FAINT, "zeroline": False}
    return go.Figure(
        layout={
            "template": "none",
            "title": {"text": title, "font": {"size": 15}},
            "font": {"color": _GREY},
            "paper_bgcolor": "rgba(0, 0, 0, 0)",
            "plot_bgcolor": "rgba(0, 0, 0, 0)",
            "xaxis": axis,
            "yaxis": axis,
        }
    )
