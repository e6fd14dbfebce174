"""The page about one study, section by section."""

import json

from reports.drawings import (
    answer_drawing,
    finding_drawings,
    model_drawings,
    parameter_drawings,
    trial_drawings,
)
from reports.exported import Exported, Predictions
from reports.findings import findings
from reports.numbers.origin import use_of_the_model
from reports.page import render
from reports.pictures import picture_uri
from reports.source import Source
from reports.summary import Model, Summary

_SIGNS = {"good": "✓ fine", "look": "⚠ worth a look", "unknown": "○ not known yet"}


def report_page(summary: Summary, source: Source, exported: Exported) -> str:
    """The whole page as HTML."""
    trials, parameters = (
        list(trial_drawings(summary)),
        list(parameter_drawings(summary, source)),
    )
    figures, answer = finding_drawings(summary), answer_drawing(summary)
    model = list(model_drawings(summary.model)) if summary.model else []
    shown = [*trials, *parameters, *figures.values(), *model, *([answer] if answer else [])]
    return render(
        "index.html.j2",
        shown,
        s=summary,
        findings=findings(summary),
        signs=_SIGNS,
        answer=answer,
        trials=trials,
        parameters=parameters,
        figures=figures,
        model=model,
        use=use_of_the_model(source),
        pictures=_pictures(summary.model, exported.predictions),
        augmented=_augmented(exported.predictions),
        own=_own(summary.model),
        configuration=json.dumps(summary.origin.configuration, indent=2, default=str),
    )


def _pictures(model: Model | None, kept: Predictions | None) -> dict[int, str]:
    """Place among the pictures -> data URI, of those that are shown."""
    if model is None or kept is None:
        return {}
    shown = [*model.errors, *(seen for group in model.examples.values() for seen in group)]
    return {seen.picture: picture_uri(kept.pictures[seen.picture]) for seen in shown}


def _augmented(kept: Predictions | None) -> list[list[str]]:
    """One row per picture, one data URI per strength."""
    if kept is None or kept.augmented is None:
        return []
    return [[picture_uri(pixels) for pixels in row] for row in kept.augmented]


def _own(model: Model | None) -> float | None:
    """The strength among the shown ones that the model was trained with."""
    if model is None or model.augment is None or not model.strengths:
        return None
    augment = model.augment
    return min(model.strengths, key=lambda strength: abs(strength - augment))
