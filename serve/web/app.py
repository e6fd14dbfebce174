"""`create_app`: the web service as a WSGI application."""

from collections.abc import Callable
from pathlib import Path

from flask import Flask, Response, send_from_directory

from serve.library.nearest import load_collection
from serve.model import Model
from serve.web.api import api
from serve.web.errors import answer_errors
from serve.web.figures import Figures
from serve.web.observe import observe
from serve.web.protection import protect
from serve.web.service import NAME, Service
from serve.web.settings import ServiceConfig
from serve.web.uploads import InMemory

_PAGE = Path(__file__).parent / "static"


class _App(Flask):
    request_class = InMemory


def create_app(
    model: Model | str | Path,
    config: ServiceConfig | None = None,
    index: str | Path | None = None,
    figures: Figures | None = None,
    queued: Callable[[], int] = lambda: 0,
) -> Flask:
    """The service for one model; any WSGI server can run it.

    Args:
        model: A model, or the `best/` folder of one.
        config: What is allowed.
        index: What `python -m serve.index` made with this model, to show similar pictures.
        figures: What it counts in, where several processes count together.
        queued: How many requests wait for a thread of the server, where that can be known.

    Raises:
        ValueError: In one sentence, if the model or the index cannot be used.
    """
    loaded = model if isinstance(model, Model) else Model(Path(model))
    config = config or ServiceConfig()
    collection = None if index is None else load_collection(Path(index), loaded)
    app = _App("serve", static_folder=str(_PAGE), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = config.most_bytes
    here = app.extensions[NAME] = Service.of(
        loaded, config, collection, figures or Figures(), queued
    )
    observe(app, here.figures)
    protect(app, config)
    answer_errors(app)
    app.register_blueprint(api)
    app.add_url_rule("/", "page", _page)
    return app


def _page() -> Response:
    return send_from_directory(_PAGE, "index.html")
