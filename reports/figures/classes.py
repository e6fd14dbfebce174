"""The classes of a model: which are mistaken for which, and how well each is found.

A class may be called `1`, `1e1` or `2020-01`: every axis of classes is of categories, or Plotly
would take such names for numbers and dates.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from records.evaluation import ClassQuality
from records.words import percent
from reports.figures import BLUE, GREEN, ORANGE, Drawing, figure
from reports.numbers.model import Model

_LABELLED = 20  # Classes up to which the cells of a confusion matrix hold their numbers.
_MOST = 150  # Classes in a matrix.
_ROWS = 30  # Classes up to which each has a row in the figure of qualities.


def class_drawings(model: Model) -> Iterator[Drawing]:
    """The confusion matrix, and precision, recall and F1 by class."""
    if len(model.classes) <= _LABELLED:
        yield confusion(model.confusion, model.classes, shares=False)
        yield confusion(model.confusion_shares, model.classes, shares=True)
    else:
        yield large_confusion(model)
    yield qualities(model)


def confusion(
    matrix: Sequence[Sequence[float | None]], classes: Sequence[str], *, shares: bool
) -> Drawing:
    """A matrix of images or of their `shares`, true classes downwards, predicted ones across."""
    names, count = _names(classes), len(classes)
    form = ".0%" if shares else "d"
    cells = go.Heatmap(
        z=matrix, x=names, y=names, texttemplate=f"%{{z:{form}}}", textfont={"size": 11},
        showscale=False, xgap=1, ygap=1,
        hovertemplate=f"%{{y}} taken for %{{x}}: %{{z:{form}}}<extra></extra>",
    )  # fmt: skip
    title = f"Confusion matrix, {'share of the true class' if shares else 'images'}"
    return Drawing(
        "confusion-shares" if shares else "confusion", title, _matrix(cells),
        f"{title}, {count} classes; true classes downwards.",
        height=min(760, 300 + 30 * count), width="half" if count <= 12 else "full", wide=count > 6,
    )  # fmt: skip


def large_confusion(model: Model) -> Drawing:
    """The matrix of many classes, those with the lowest recall first; of very many only those."""
    places = {name: place for place, name in enumerate(model.classes)}
    order = [places[name] for name in model.per_class][:_MOST]
    names = _names(model.classes)
    shown = [names[place] for place in order]

    def cells(matrix: Sequence[Sequence[Any]]) -> list[list[Any]]:
        # What never happens is left empty, and takes no room in the page.
        return [[matrix[a][b] or None for b in order] for a in order]

    drawn = go.Heatmap(
        z=cells(model.confusion_shares), text=cells(model.confusion), x=shown, y=shown, zmin=0,
        zmax=1, colorbar={"tickformat": ".0%"}, hoverongaps=False,
        hovertemplate="%{y} taken for %{x}: %{text} images, %{z:.1%} of its own<extra></extra>",
    )  # fmt: skip
    some = (
        f"the {_MOST} of {len(places)} classes" if len(places) > _MOST else f"{len(order)} classes"
    )
    return Drawing(
        "confusion", "Confusion matrix, share of the true class", _matrix(drawn),
        f"Confusion matrix of {some} with the lowest recall first; true classes downwards.",
        f"Of {some}, those with the lowest recall first. Drag to zoom in, double-click to see all "
        "again; names of all classes show once there is room.", height=820, wide=True,
    )  # fmt: skip


def _matrix(cells: go.Heatmap) -> go.Figure:
    axis = {
        "type": "category", "showgrid": False, "zeroline": False, "ticks": "",
        "constrain": "domain",
    }  # fmt: skip
    return figure(
        [cells], "predicted class", "true class",
        xaxis={**axis, "tickangle": -45}, yaxis={**axis, "autorange": "reversed"},
    )  # fmt: skip


def qualities(model: Model) -> Drawing:
    """Precision, recall and F1 by class; many classes stand side by side to take less room."""
    labels = dict(zip(model.classes, _names(model.classes), strict=True))
    shown = {labels[name]: quality for name, quality in model.per_class.items() if quality.n}
    title, many = "Precision, recall and F1 by class", len(shown) > _ROWS
    zoom = " Drag to zoom in, double-click to see all again." if many else ""
    return Drawing(
        "classes", title, _dots(shown, upright=many),
        f"{title}, of {len(shown)} classes; macro recall {percent(model.macro.recall)}, macro F1 "
        f"{percent(model.macro.f1)}.", f"Sorted by recall, lowest first.{zoom}",
        height=440 if many else 160 + 26 * len(shown), wide=many,
    )  # fmt: skip


def _dots(classes: Mapping[str, ClassQuality], *, upright: bool) -> go.Figure:
    names, shares = {"type": "category"}, {"tickformat": ".0%", "range": [-0.03, 1.03]}
    traces = [
        go.Scatter(
            **dict(zip("xy" if upright else "yx", (list(classes), values), strict=True)),
            mode="markers", name=title,
            marker={"color": colour, "symbol": symbol, "size": 7 if upright else 11},
            hovertemplate="%{x}, %{fullData.name} %{y:.1%}<extra></extra>"
            if upright else "%{y}, %{fullData.name} %{x:.1%}<extra></extra>",
        )
        for field, title, colour, symbol in (
            ("precision", "precision", BLUE, "triangle-left"),
            ("recall", "recall", GREEN, "triangle-right"),
            ("f1", "F1", ORANGE, "diamond"),
        )
        for values in [[getattr(quality, field) for quality in classes.values()]]
    ]  # fmt: skip
    if upright:
        return figure(traces, "", "share", xaxis={**names, "tickangle": -45}, yaxis=shares)
    return figure(traces, "share", "", xaxis=shares, yaxis={**names, "autorange": "reversed"})


def _names(classes: Sequence[str]) -> list[str]:
    """Class names as axis labels: they may be long, and Plotly takes `<` for markup."""
    return [
        escape(name if len(name) <= 18 else f"{name[:14]}... #{number}", quote=False)
        for number, name in enumerate(classes)
    ]
