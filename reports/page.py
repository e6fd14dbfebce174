"""Laying out a page: one HTML file with everything in it, which asks nobody for anything."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from records import words
from reports.drawings import Drawing
from reports.figures.theme import templates


def render(template: str, drawn: list[Drawing], **values: Any) -> str:
    """The page.

    Args:
        template: Name of its template.
        drawn: All figures that the template places.
        values: What the template says.
    """
    scripts = [get_plotlyjs(), _file("page.js")]
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            css=Markup(_file("page.css")),
            scripts=[Markup(script) for script in scripts],
            digests=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
            data=_data(drawn),
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("percent", "points", "value", "count", "duration", "moment"):
        environment.filters[name] = getattr(words, name)
    return environment


def _file(name: str) -> str:
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _digest(script: str) -> str:
    """What the page's own content security policy knows a script by."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _data(drawn: list[Drawing]) -> Markup:
    figures = {d.key: _slim(d.figure) for d in drawn if d.figure is not None}
    return for_script({"figures": figures, "templates": templates()})


def _slim(figure: Any) -> Any:
    """A figure as JSON, with as many digits as a screen can show."""
    return _rounded(json.loads(figure.to_json()))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list) else value


def for_script(value: Any) -> Markup:
    """JSON that may stand in a script element: no text in it can end that element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
