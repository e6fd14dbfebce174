"""The pages: each is one HTML file with everything in it, which asks nobody for anything."""

import base64
import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2.utils import htmlsafe_json_dumps
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from records import words
from records.pixels.heat import overlay
from reports.figures import Drawing, of_objective, templates
from reports.figures.diagnosis import diagnosis_drawings
from reports.figures.front import front_drawings
from reports.figures.model import model_drawings
from reports.figures.parameters import parameter_drawings
from reports.figures.search import search_drawings, winner_drawing
from reports.numbers.findings import findings
from reports.numbers.model import Model
from reports.numbers.summary import Summary
from reports.source import Source

_SIGNS = {"good": "✓ passed", "warning": "⚠ worth a look", "unknown": "○ not known yet"}


def report_page(summary: Summary, source: Source, folder: Path) -> str:
    """The page about one study, as HTML; its links to files are relative to this folder."""
    model = summary.model
    sections = {
        "winner": [winner_drawing(summary.winner, exported=bool(model))] if summary.winner else [],
        "front": list(front_drawings(summary.front)) if summary.front else [],
        "search": search_drawings(summary),
        "parameters": list(parameter_drawings(summary, source)),
        "diagnosis": list(diagnosis_drawings(summary)),
        "model": list(model_drawings(model)) if model else [],
    }
    for part in ("winner", "front", "search", "parameters", "diagnosis"):
        sections[part] = [of_objective(one, source.objective) for one in sections[part]]
    return render(
        "report.html.j2", sections, s=summary, findings=findings(summary), signs=_SIGNS,
        objective=source.objective, cost_names=words.COSTS,
        figures={drawing.key: drawing for drawing in sections["diagnosis"]},
        best=source.place.folder / "best", kept=source.predictions,
        link=partial(link, folder), root=source.data_root, own=_own_strength(model),
        overlay=partial(overlay, crop=source.metrics.data.crop if source.metrics else 1.0),
        configuration=json.dumps(summary.origin.configuration, indent=2, default=str),
    )  # fmt: skip


def link(folder: Path, root: Path | None, path: str | None) -> str | None:
    """What leads from a page in a folder to a file below a root; None if there is none.

    It is relative, so that a page still works when both have moved, and says nothing of places.
    """
    if root is None or path is None or not (root / path).is_file():
        return None
    try:
        # Textual, as a browser goes up from the address of the page.
        return quote(os.fsencode(os.path.relpath(root / path, folder).replace(os.sep, "/")))
    except ValueError:  # On another drive.
        return (root / path).absolute().as_uri()


def _picture_uri(pixels: np.ndarray, side: int = 96) -> str:
    """A picture, `(height, width, 3)` uint8, as a data URI: the page needs no files beside it.

    It has at most `side` pixels a side; the page scales up smaller ones.
    """
    picture, held = Image.fromarray(np.ascontiguousarray(pixels)), BytesIO()
    picture.thumbnail((side, side))
    # The pixels of tiny images should be seen, not smeared.
    kind = "png" if max(picture.size) <= 48 else "jpeg"
    picture.save(held, kind, **({"optimize": True} if kind == "png" else {"quality": 85}))
    return f"data:image/{kind};base64,{base64.b64encode(held.getvalue()).decode()}"


def _own_strength(model: Model | None) -> float | None:
    """The strength among the shown ones that the model was trained with."""
    if model is None or (augment := model.augment) is None or not model.strengths:
        return None
    return min(model.strengths, key=lambda strength: abs(strength - augment))


def render(template: str, drawn: Mapping[str, Sequence[Drawing]], **values: Any) -> str:
    """A page from its template, the figures of each section, and what else the template says."""
    scripts = [get_plotlyjs(), _text_of("page.js")]
    figures = {d.key: _slim(d.figure) for part in drawn.values() for d in part if d.figure}
    # What the page's own content security policy knows the scripts by.
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    return _environment().get_template(template).render(
        **values, drawn=drawn, css=Markup(_text_of("page.css")),
        scripts=[Markup(script) for script in scripts],
        digests=" ".join(f"'sha256-{one}'" for one in hashes),
        data=for_script({"figures": figures, "templates": templates()}),
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    for name in ("percent", "points", "value", "cost", "count", "duration", "moment"):
        environment.filters[name] = getattr(words, name)
    environment.filters.update(picture=_picture_uri, quote=lambda path: shlex.quote(str(path)))
    return environment


def _text_of(name: str) -> str:
    return (files("reports") / "templates" / name).read_text(encoding="utf-8")


def _slim(figure: Any) -> Any:
    """A figure as JSON, with as many digits as a screen can show."""
    return json.loads(figure.to_json(), parse_float=lambda digits: float(f"{float(digits):.6g}"))


def for_script(value: Any) -> Markup:
    """JSON that may stand in a script element: no text in it can end that element."""
    return htmlsafe_json_dumps(value, allow_nan=False, separators=(",", ":"))
