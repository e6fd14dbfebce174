"""The front of a study with several objectives: accuracy over each cost."""

from collections.abc import Iterator, Sequence
from typing import Any

import plotly.graph_objects as go

from records.words import COSTS
from reports.figures import BLUE, GREY, ORANGE, Drawing, figure, readable_ticks
from reports.numbers.front import Front, Offer

_UNITS = {"latency": (1000.0, " (ms per picture)"), "train_seconds": (1.0, " (s)")}


def front_drawings(front: Front) -> Iterator[Drawing]:
    """One figure per cost."""
    for cost in front.costs:
        yield _drawing(front, cost)


def _drawing(front: Front, cost: str) -> Drawing:
    scale, unit = _UNITS.get(cost, (1.0, ""))
    name, best = COSTS.get(cost, cost), front.best
    # With more than one cost, neighbours in one figure are none in the other.
    line = "lines+markers" if len(front.costs) == 1 else "markers"
    grey = {"color": GREY, "symbol": "circle-open", "size": 7}
    blue, knee = {"color": BLUE, "size": 10}, {"color": ORANGE, "symbol": "star", "size": 16}
    rest = [offer for offer in front.offers if not offer.on_front]
    bend = [offer for offer in best if offer.knee]
    traces = [
        _trace(rest, cost, scale, name="beaten by another trial", mode="markers", marker=grey),
        _trace(best, cost, scale, name="front", mode=line, marker=blue, line={"shape": "hv"}),
        _trace(bend, cost, scale, name="knee", mode="markers", marker=knee),
    ]
    known = [offer.costs[cost] for offer in front.offers]
    # Within a decade, a logarithmic axis would have hardly a round number on it.
    kind = "log" if max(known) > 10 * min(known) > 0 else "linear"
    drawn = figure(traces, f"{name}{unit}", "validation accuracy", yaxis_tickformat=".0%",
                   xaxis={"type": kind}, hovermode="closest")  # fmt: skip
    return Drawing(
        f"front-{cost}", f"Front: accuracy and {name}", readable_ticks(drawn),
        f"Validation accuracy and {name} of {len(front.offers)} complete trials; {len(best)} of "
        f"them are on the front, from {best[0].accuracy:.2%} down to {best[-1].accuracy:.2%}.",
        "No other trial is better than one of the front in accuracy and in all costs. At the "
        "knee, more accuracy begins to cost most.",
    )  # fmt: skip


def _trace(offers: Sequence[Offer], cost: str, scale: float, **looks: Any) -> go.Scatter:
    ordered = sorted(offers, key=lambda offer: offer.costs[cost])
    return go.Scatter(
        x=[offer.costs[cost] * scale for offer in ordered],
        y=[offer.accuracy for offer in ordered], customdata=[o.number for o in ordered],
        hovertemplate="trial %{customdata}: %{y:.2%} at %{x:.4g}<extra></extra>", **looks,
    )  # fmt: skip
