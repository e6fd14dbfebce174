"""Who may ask, and what browsers may do with the answers."""

import hmac
from hashlib import sha256

from flask import Flask, Response, request

from serve.web.errors import Foreign, NoKey
from serve.web.settings import ServiceConfig

_OPEN = frozenset({"page", "static", "api.healthz", "api.readyz", "api.openapi"})
"""Endpoints that need no key: they say nothing about the model or the pictures."""

_HEADERS = {
    # No inline script and no inline style, nothing from elsewhere; `blob:` shows chosen pictures.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=(), camera=()",
}


def protect(app: Flask, config: ServiceConfig) -> None:
    """Have an app check who asks, and send the headers with every answer."""
    # A page elsewhere could reach in through a name of its own that means this machine.
    app.config["TRUSTED_HOSTS"] = None if config.hosts is None else list(config.hosts)

    @app.before_request
    def check() -> None:
        if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site"):
            _refuse_foreign()
        if config.api_key is not None and request.endpoint not in _OPEN:
            _check_key(config.api_key.get_secret_value())

    @app.after_request
    def headers(response: Response) -> Response:
        response.headers.update(_HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response


def _refuse_foreign() -> None:
    """Pages of other sites may link here, and do nothing else."""
    if request.headers.get("Sec-Fetch-Mode") != "navigate" or request.method != "GET":
        raise Foreign("requests from pages of other sites are not answered")


def _check_key(key: str) -> None:
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Hashes have the same length, so that the comparison takes the same time for every guess.
    same = hmac.compare_digest(_hash(given.strip()), _hash(key))
    if scheme.lower() != "bearer" or not same:
        raise NoKey("this needs the service's key in the header 'Authorization: Bearer KEY'")


def _hash(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()
