"""`create_app`: the web service as a WSGI application; who may ask, and what is logged."""

import html
import logging
import os
import time
from pathlib import Path

from flask import Flask, Response, g, request, send_from_directory
from werkzeug.exceptions import HTTPException

from serve.model import Model
from serve.web.access import REFUSAL, BelowPrefix, check_key, check_origin
from serve.web.api import api
from serve.web.config import ServiceConfig
from serve.web.openapi import ErrorReply
from serve.web.service import NAME, Counters, Service
from serve.web.shared import Shared

_LOG = logging.getLogger("serve.requests")
_FAULTS = logging.getLogger("serve")

_PAGE = Path(__file__).parent / "static"
# Endpoints that need no key: they say nothing about the model or the pictures.
_OPEN = frozenset({"page", "static", "api.healthz", "api.readyz", "api.openapi"})

_HEADERS = {
    # No inline script and no inline style, nothing from elsewhere; `blob:` shows chosen pictures.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
}

_WORDS = {
    400: "bad_request",
    401: "no_key",
    403: "foreign",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "wrong_type",
    422: "undecodable",
    503: "busy",
}

_WITH = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}


def create_app(
    model: Model | str | Path,
    config: ServiceConfig | None = None,
    index: str | Path | None = None,
    shared: Shared | None = None,
) -> Flask:
    """The service for one model, or the `best/` folder of one; any WSGI server can run it.

    The index is what `python -m serve.index` made with this model, to show similar pictures.
    `shared` is what this process has in common with others that answer.

    Raises:
        ValueError: In one sentence, if the model or the index cannot be used.
    """
    loaded = model if isinstance(model, Model) else Model(Path(model))
    config = config or ServiceConfig()
    app = Flask("serve", static_folder=str(_PAGE), static_url_path="/static")
    app.config["MAX_CONTENT_LENGTH"] = config.most_bytes
    # Else `//api/model` would be sent on to an address that only the service itself may know.
    app.url_map.merge_slashes = False
    app.wsgi_app = BelowPrefix(app.wsgi_app, config)  # type: ignore[method-assign]
    service = Service(loaded, config, None if index is None else Path(index), shared or Shared())
    app.extensions[NAME] = service
    _observe(app, service.counters)
    _protect(app, config)
    app.register_error_handler(HTTPException, _refused)
    app.register_error_handler(Exception, _bug)
    app.register_blueprint(api)
    app.add_url_rule("/", "page", _page)
    return app


def _page() -> Response:
    """Its addresses are relative: to its own, or to the prefix if one is known."""
    if not request.root_path:
        return send_from_directory(_PAGE, "index.html")
    text = (_PAGE / "index.html").read_text(encoding="utf-8")
    base = f'<head>\n<base href="{html.escape(request.root_path)}/">'
    return Response(text.replace("<head>", base, 1), mimetype="text/html")


def _observe(app: Flask, counters: Counters) -> None:
    """Count every request, and write one log line for it."""

    @app.before_request
    def begin() -> None:
        g.began, g.id = time.perf_counter(), os.urandom(6).hex()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        endpoint = request.endpoint or "none"
        counters.requests.labels(endpoint, response.status_code).inc()
        counters.seconds.labels(endpoint).observe(seconds)
        response.headers["X-Request-ID"] = g.id
        # What people sent stays out of the log: names of files are theirs, and paths can be long.
        _LOG.info(
            "%s %s %s %d %.1f ms %s", g.id, request.remote_addr, request.method,
            response.status_code, 1000 * seconds, request.endpoint,
        )  # fmt: skip
        return response


def _protect(app: Flask, config: ServiceConfig) -> None:
    """Check who asks, and tell browsers what they may do with the answer."""

    @app.before_request
    def check() -> None:
        if refusal := request.environ.get(REFUSAL):
            raise refusal
        check_origin(request, config)
        if request.endpoint not in _OPEN:
            check_key(request, config)

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _refused(error: HTTPException) -> Response:
    """All errors have the same form, with a word that stays the same."""
    status = error.code or 500
    response = _reply(status, _WORDS.get(status, "refused"), str(error.description))
    response.headers.update(_WITH.get(status, {}))
    response.headers.update((n, v) for n, v in error.get_headers() if n == "Allow")
    return response


def _bug(error: Exception) -> Response:
    _FAULTS.exception("a request ended with a bug of ours")
    return _reply(500, "bug", "the service has a fault; its log says more")


def _reply(status: int, word: str, message: str) -> Response:
    content = ErrorReply(error=word, message=message).model_dump_json()
    return Response(content, status, mimetype="application/json")
