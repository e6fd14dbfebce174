"""Which figure stands where, with its title, its caption and what a screen reader says of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import plotly.graph_objects as go

from records.words import percent
from reports.figures import borrowed
from reports.figures.answer import answer_figure
from reports.figures.diagnosis import (
    importances_figure,
    more_figure,
    outcomes_figure,
    pruning_figure,
    ranges_figure,
    seeds_figure,
)
from reports.figures.model import (
    classes_figure,
    confusion_figure,
    reliability_figure,
    training_figure,
)
from reports.figures.trials import curves_figure, history_figure, timeline_figure
from reports.replica import chosen, replica, searched
from reports.source import Source
from reports.summary import Model, Summary

_MOST_LINES, _MOST_SLICES, _LARGEST_MATRIX = 150, 12, 100


@dataclass(frozen=True)
class Drawing:
    """A place for a figure.

    Attributes:
        key: Its name in the page.
        title: Its heading.
        figure: What is drawn; None when there is nothing to draw.
        alt: What it shows, in a sentence.
        caption: How to read it.
        missing: Why nothing is drawn.
        height: In pixels.
        width: "full", "half" or "third" of the page.
        wide: Whether it keeps its width on a phone, and scrolls sideways there.
    """

    key: str
    title: str
    figure: go.Figure | None
    alt: str = ""
    caption: str = ""
    missing: str = ""
    height: int = 380
    width: str = "full"
    wide: bool = False


def answer_drawing(summary: Summary) -> Drawing | None:
    """The accuracy, from what the search claimed to what the test says."""
    if summary.answer is None:
        return None
    found = summary.answer.estimates
    said = ", ".join(f"{e.name} {percent(e.accuracy)}" for e in found)
    bars = "; ".join(f"{e.name}: {e.interval} (n = {e.n:,} {e.of})" for e in found if e.n)
    more = " The final training learns from the validation images too." if summary.model else ""
    return Drawing(
        "answer", "From claim to test", answer_figure(found), f"Accuracy of the winner: {said}.",
        f"Bars: {bars}.{more}" if bars else "", height=90 + 70 * len(found),
    )  # fmt: skip


def trial_drawings(summary: Summary) -> Iterator[Drawing]:
    """Results, curves and time line."""
    best = max((p.best for p in summary.history if p.best is not None), default=None)
    if any(p.value is not None for p in summary.history):
        yield Drawing(
            "history", "Optimisation history", history_figure(summary.history),
            f"{len(summary.history)} trials that ended; the best reached {percent(best)}.",
            "Every trial that ended, by number; a pruned one with the accuracy that it had last.",
        )  # fmt: skip
    else:
        none = "No trial has ended with a result yet."
        yield Drawing("history", "Optimisation history", None, missing=none)
    drawn = summary.curves
    if drawn.curves:
        winner = next((p.number for p in summary.history if p.value == best == p.best), None)
        pruned = sum(c.kind == "pruned" for c in drawn.curves)
        bar = f", with the {drawn.bar_name} as it stands now" if drawn.bar else ""
        looks = " Diamonds mark the epochs after which the pruner looks." if drawn.looks else ""
        moved = f" Early trials met a lower bar than today's.{looks}" if drawn.bar else ""
        yield Drawing(
            "curves", "Learning curves", curves_figure(drawn, winner),
            f"Validation accuracy by epoch of {len(drawn.curves)} trials, {pruned} of them pruned"
            f"{bar}.",
            f"A cross ends a pruned trial.{moved} "
            "Epochs before the last may be scored on fewer of the validation images.",
            height=440,
        )  # fmt: skip
    else:
        yield Drawing("curves", "Learning curves", None, missing="No trial has reported an epoch.")
    lanes = summary.timeline.lanes
    if lanes:
        yield Drawing(
            "timeline", "Time line", timeline_figure(summary.timeline),
            f"When each of {len(summary.timeline.bars)} trials ran, on {len(lanes)} workers.",
            "One row per worker; processes that followed one another share a row.",
            height=150 + 42 * min(len(lanes), 12),
        )  # fmt: skip
    else:
        yield Drawing("timeline", "Time line", None, missing="No trial has been started.")


def parameter_drawings(summary: Summary, source: Source) -> Iterator[Drawing]:
    """Importances, and the plots that Optuna draws."""
    few = "This needs at least two complete trials with different parameters."
    if source.space is None:
        yield Drawing(
            "parameters", "Parameters", None,
            missing="The study does not say what was searched, so nothing can be drawn of it.",
        )  # fmt: skip
        return
    copy = replica(source.trials, source.space)
    names, found = searched(copy), summary.importances
    yield _importances(summary)
    if not names or found is None or found.n < 2:
        yield Drawing("slices", "Accuracy by parameter", None, missing=few)
        return
    yield Drawing(
        "edf", "Distribution of the results", borrowed.edf_figure(copy),
        f"Share of the {found.n} complete trials at or below each accuracy.",
        f"How many of the {found.n} complete trials were at or below an accuracy.", width="half",
    )  # fmt: skip
    for name in names[:_MOST_SLICES]:
        yield Drawing(
            f"slice-{name}", f"Accuracy by {name}", borrowed.slice_figure(copy, name),
            f"Validation accuracy of the complete trials by {name}.",
            "Blue: early trials; orange: late ones.", height=300, width="third",
        )  # fmt: skip
    yield from _pairs(summary, source, names)


def finding_drawings(summary: Summary) -> dict[str, Drawing]:
    """Key of a finding -> its figure, where there is something to draw."""
    found: dict[str, Drawing] = {}
    if any(r.positions for r in summary.ranges):
        n = max(len(r.positions) for r in summary.ranges)
        found["ranges"] = Drawing(
            "ranges", "", ranges_figure(summary.ranges),
            f"Places of the {n} leading trials in the ranges of {len(summary.ranges)} parameters.",
            f"The {n} leading trials; the shaded edges are a twentieth of each range.",
            height=110 + 62 * len(summary.ranges),
        )  # fmt: skip
    if summary.cost.done or summary.cost.counts.get("failed"):
        found["outcomes"] = Drawing(
            "outcomes", "", outcomes_figure(summary.cost.counts),
            "How the trials ended: "
            + ", ".join(f"{n} {kind}" for kind, n in summary.cost.counts.items()) + ".",
            height=190,
        )  # fmt: skip
    if summary.pruning.early:
        found["pruning"] = Drawing(
            "pruning", "", pruning_figure(summary.pruning),
            "Rank correlation of the accuracy after each epoch with the final one, and the share "
            "of pairs of trials that swap places later.",
            "Over complete trials only: what pruned ones would have become, nobody knows.",
            height=320,
        )  # fmt: skip
    if summary.seeds.candidates:
        found["seeds"] = Drawing(
            "seeds", "", seeds_figure(summary.seeds),
            f"Validation accuracy of {len(summary.seeds.candidates)} trials, each trained again.",
            height=130 + 54 * len(summary.seeds.candidates),
        )  # fmt: skip
    if any(best is not None for best in summary.more.best):
        found["more"] = Drawing(
            "more", "", more_figure(summary.more),
            "The best accuracy so far by trials done, against the mean over random orders.",
            height=320,
        )  # fmt: skip
    return found


def model_drawings(model: Model) -> Iterator[Drawing]:
    """Training, errors and confidence of the exported model."""
    yield Drawing(
        "training", "Final training", training_figure(model.curves),
        f"Loss, training accuracy and learning rate over {len(model.curves.get('epoch', []))} "
        f"epochs.",
        "Of augmented images while training; nothing is validated, since all images are trained "
        "on.",
        height=520, width="half",
    )  # fmt: skip
    if model.reliability is not None:
        r = model.reliability
        yield Drawing(
            "reliability", "Reliability", reliability_figure(r),
            f"Accuracy by confidence; expected calibration error {percent(r.error)}.",
            f"Expected calibration error {percent(r.error)}: confidence "
            f"{percent(r.confidence)}, accuracy {percent(r.accuracy)} (n = {r.n:,}). Bars above "
            f"the line: the model is better than it says.",
            height=520, width="half",
        )  # fmt: skip
    if len(model.classes) <= _LARGEST_MATRIX:
        size = min(760, 300 + 30 * len(model.classes))
        for key, title, matrix, shares in (
            ("confusion", "Confusion matrix, images", model.confusion, False),
            ("confusion-shares", "Confusion matrix, share of the true class",
             model.confusion_shares, True),
        ):  # fmt: skip
            yield Drawing(
                key, title, confusion_figure(matrix, model.classes, shares=shares),
                f"{title}, {len(model.classes)} classes; true classes downwards.",
                height=size, width="half" if len(model.classes) <= 12 else "full",
                wide=len(model.classes) > 6,
            )  # fmt: skip
    yield Drawing(
        "classes", "Precision, recall and F1 by class", classes_figure(model.per_class),
        f"Precision, recall and F1 of {len(model.classes)} classes; macro F1 "
        f"{percent(model.macro_f1)}.",
        "Sorted by F1.", height=160 + 26 * len(model.classes),
    )  # fmt: skip


def _importances(summary: Summary) -> Drawing:
    found, title = summary.importances, "What matters"
    if found is None or not found.parameters:
        n = 0 if found is None else found.n
        return Drawing(
            "importances", title, None, width="half",
            missing=f"Importances need ten complete trials of different accuracy; there are {n}.",
        )  # fmt: skip
    first = found.parameters[0]
    rough = " With so few trials, read it as a hint." if found.n < 50 else ""
    return Drawing(
        "importances", title, importances_figure(found),
        f"Most important is {first.name} with {percent(first.share, 0)}.",
        f"PED-ANOVA: what decides whether a trial is among the best {found.good} of the {found.n} "
        f"complete ones.{rough}",
        width="half",
    )  # fmt: skip


def _pairs(summary: Summary, source: Source, names: list[str]) -> Iterator[Drawing]:
    """Rank plots, contour and parallel coordinates, of as many trials as can be looked at."""
    assert source.space is not None
    assert summary.importances is not None
    important = [p.name for p in summary.importances.parameters] or names
    some = replica(source.trials, source.space, chosen(source.trials, _MOST_LINES))
    top = [name for name in important if name in searched(some)][:3]
    n = min(summary.importances.n, _MOST_LINES)
    shown = f"{n} of {summary.importances.n} complete trials, the best among them"
    for first, second in combinations(top, 2):
        yield Drawing(
            f"rank-{first}-{second}", f"{first} and {second}",
            borrowed.rank_figure(some, first, second),
            f"Ranks of the trials by {first} and {second}.",
            "Red: the best trials; blue: the worst.", height=320, width="third",
        )  # fmt: skip
    if len(top) > 1:
        yield Drawing(
            "contour", f"Accuracy over {top[0]} and {top[1]}",
            borrowed.contour_figure(some, top[0], top[1]),
            f"Validation accuracy over {top[0]} and {top[1]}, the two most important parameters.",
            f"Interpolated between {shown}; where there are no points, there is no knowledge.",
            height=420,
        )  # fmt: skip
    yield Drawing(
        "parallel", "Parallel coordinates", borrowed.parallel_figure(some),
        f"One line per trial over {len(names)} parameters, coloured by accuracy.",
        f"One line per trial: {shown}. Orange: the best.", height=440, wide=True,
    )  # fmt: skip
