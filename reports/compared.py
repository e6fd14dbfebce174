"""Several studies side by side: their numbers, whether they may be compared, their figures."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from records.trial import ranked
from reports.drawings import Drawing
from reports.exported import Exported
from reports.figures.theme import COLOURS, figure
from reports.numbers.answer import Answer, answer
from reports.numbers.base import Numbers
from reports.numbers.cost import Cost, cost
from reports.numbers.course import Step, course
from reports.numbers.seeds import seeds
from reports.source import Source

_UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


class Entry(Numbers):
    """One study among others."""

    name: str
    """Its name, with the place where it is if others share the name."""

    place: str
    answer: Answer | None
    cost: Cost
    epochs_saved: float | None
    course: tuple[Step, ...]

    def estimate(self, name: str) -> str:
        """One of the winner's accuracies in words; a dash if it is not there."""
        for found in self.answer.estimates if self.answer else ():
            if found.name == name:
                n = "" if found.n is None else f" (n = {found.n:,})"
                return f"{found.accuracy:.2%}{n}"
        return "-"


class Comparison(Numbers):
    """Studies side by side."""

    entries: tuple[Entry, ...]
    differences: tuple[str, ...]
    """What the studies do not have in common though their accuracies depend on it."""


_MUST_AGREE = {
    "data": "the images differ",
    "split": "the split into training and validation differs",
}
_SHOULD_AGREE = {"epochs": "the epochs of a training differ", "network": "the network differs"}


def compare(read: Sequence[tuple[Source, Exported]]) -> Comparison:
    """Work out all numbers."""
    names = [source.name for source, _ in read]
    entries = tuple(
        _entry(source, exported, shared=names.count(source.name) > 1) for source, exported in read
    )
    prints = [source.fingerprint for source, _ in read]
    differences = [
        f"{what}: the accuracies cannot be held against one another"
        for key, what in _MUST_AGREE.items()
        if any(p.get(key) != prints[0].get(key) for p in prints)
    ]
    trainings = [p.get("training", {}) for p in prints]
    differences += [
        f"{what}: {', '.join(str(t.get(key, '?')) for t in trainings)}"
        for key, what in _SHOULD_AGREE.items()
        if any(t.get(key) != trainings[0].get(key) for t in trainings)
    ]
    return Comparison(entries=entries, differences=tuple(differences))


def comparison_drawings(comparison: Comparison) -> list[Drawing]:
    """The best so far by trials, by time and by epochs."""
    order = "Complete and pruned trials, in the order in which they ended."
    time = "Wall time in which trials were running, without confirmations and final training."
    paid = "What is paid for when the machines differ."
    kinds = (
        ("trials", "By trials", "trials done", order),
        ("seconds", "By time", "seconds", time),
        ("epochs", "By epochs", "epochs trained", paid),
    )
    names = ", ".join(e.name for e in comparison.entries)
    shown = any(s.best is not None for e in comparison.entries for s in e.course)
    return [
        Drawing(
            f"by-{field}",
            title,
            _figure(comparison.entries, field, axis) if shown else None,
            f"Best validation accuracy so far, {title.lower()}, of {names}.",
            caption,
            missing="No study has a complete trial yet.",
        )
        for field, title, axis, caption in kinds
    ]


def _figure(entries: Sequence[Entry], field: str, axis: str) -> go.Figure:
    traces: list[Any] = []
    scale = 1.0
    if field == "seconds":
        longest = max((s.seconds for e in entries for s in e.course), default=0.0)
        scale, axis = next((unit for unit in _UNITS if longest >= 2 * unit[0]), _UNITS[-1])
    for number, entry in enumerate(entries):
        steps = [step for step in entry.course if step.best is not None]
        line = {
            "color": COLOURS[number % len(COLOURS)],
            "dash": _DASHES[number % len(_DASHES)],
            "width": 2.5,
            "shape": "hv",
        }
        traces.append(
            go.Scatter(
                x=[getattr(step, field) / scale for step in steps],
                y=[step.best for step in steps], mode="lines", name=entry.name, line=line,
                hovertemplate=f"%{{y:.2%}} after %{{x:,.4~g}} {axis}",
            )
        )  # fmt: skip
    return figure(traces, axis, "best validation accuracy", yaxis_tickformat=".1%")


def _entry(source: Source, exported: Exported, *, shared: bool) -> Entry:
    order, spread = ranked(source.trials), seeds(source.confirmed, source.trials)
    paid = cost(source.trials, source.total, source.epochs)
    place = source.storage if source.given_storage else str(source.folder)
    return Entry(
        name=f"{source.name} ({place})" if shared else source.name,
        place=place,
        answer=answer(exported.metrics, spread, order, None),
        cost=paid,
        epochs_saved=paid.epochs_saved,
        course=course(source.trials),
    )
