"""A calibration as a page with figures, which needs no network."""

from pathlib import Path

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from records.files import write_whole
from search.calibrate.calibration import Calibration

_BLUE, _ORANGE, _GREY = "#2a78d6", "#eb6834", "#8a8984"
_TITLES = (
    "Learning curves", "How early scores rank the end",
    "Expected best of random trials", "What pruning rules save and lose",
)  # fmt: skip


def write_figure(found: Calibration, title: str, path: Path) -> None:
    """Write the page."""
    page = make_subplots(2, 2, subplot_titles=_TITLES, vertical_spacing=0.14)
    for trace in _curves(found):
        page.add_trace(trace, 1, 1)
    for trace in _ranks(found):
        page.add_trace(trace, 1, 2)
    page.add_trace(_best(found), 2, 1)
    page.add_trace(_rules(found), 2, 2)
    axes = (
        ("epoch", "score"), ("share of the epochs", "Spearman's rank correlation"),
        ("trials", "score"), ("share of the epochs saved", "points lost"),
    )  # fmt: skip
    for number, (x, y) in enumerate(axes):
        row, column = number // 2 + 1, number % 2 + 1
        page.update_xaxes(title_text=x, row=row, col=column)
        page.update_yaxes(title_text=y, row=row, col=column)
    page.update_xaxes(type="log", row=2, col=1)
    page.update_layout(title=title, height=900, template="plotly_white", showlegend=False)
    write_whole(path, page.to_html(include_plotlyjs=True))


def _curves(found: Calibration) -> list[go.Scatter]:
    epochs = [*range(1, found.curves.shape[1] + 1)]
    return [
        go.Scatter(
            x=epochs, y=curve.tolist(), mode="lines", opacity=0.7, name=f"point {n + 1}",
            line={"color": _ORANGE if n == found.recipe else _BLUE},
        )
        for n, curve in enumerate(found.curves)
    ]  # fmt: skip


def _ranks(found: Calibration) -> list[go.Scatter]:
    known = found.agreements
    shares, middle = [a.share for a in known], [a.spearman.value for a in known]
    bars = {
        "type": "data", "symmetric": False,
        "array": [a.spearman.high - a.spearman.value for a in known],
        "arrayminus": [a.spearman.value - a.spearman.low for a in known],
    }  # fmt: skip
    return [
        go.Scatter(x=shares, y=middle, error_y=bars, mode="lines+markers", line={"color": _BLUE})
    ]


def _best(found: Calibration) -> go.Scatter:
    counts, best = zip(*found.doublings, strict=True)
    bars = {"type": "constant", "value": found.sd, "color": _GREY}
    return go.Scatter(
        x=counts, y=best, mode="lines+markers", line={"color": _BLUE}, error_y=bars,
        hovertemplate="%{x} trials: %{y:.2%}<br>bars: what a seed changes<extra></extra>",
    )  # fmt: skip


def _rules(found: Calibration) -> go.Scatter:
    named = [", ".join(f"{k} = {v}" for k, v in e.study.items()) for e in found.effects]
    return go.Scatter(
        x=[e.saved for e in found.effects], y=[100 * e.lost for e in found.effects], text=named,
        mode="markers", marker={"color": _BLUE, "size": 9},
        hovertemplate="%{text}: %{x:.0%}, %{y:.2f} points<extra></extra>",
    )  # fmt: skip
