"""Who may ask, which requests are read, and below which path the service is."""

import hmac
import ipaddress
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, Unauthorized
from werkzeug.wrappers import Request

from serve.web.config import ServiceConfig

REFUSAL = "serve.refusal"
"""Where a WSGI environment has the HTTPException that its request is to be answered with."""

# Letters, digits and a few signs, in parts that are not empty: never `//another.host`.
_PREFIX = re.compile(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", re.ASCII)
# First parts of the service's own addresses.
_OWN = frozenset({"api", "static", "healthz", "readyz", "metrics", "openapi.json"})


def check_origin(request: Request, config: ServiceConfig) -> None:
    """Whether a request comes by a name of the service, and not from the page of another site.

    Raises:
        HTTPException: It does not.
    """
    # A page elsewhere could reach in through a name of its own that means this machine.
    if config.hosts is not None and _name(request.host) not in config.hosts:
        raise BadRequest(
            f"this service answers to the host names {', '.join(config.hosts)}, but was asked as "
            f"'{request.host}': let a proxy send one of these, or add it with --allowed-host"
        )
    # Pages of other sites may link here, and do nothing else.
    link = request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"
    if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not link:
        raise Forbidden("requests from pages of other sites are not answered")


def check_key(request: Request, config: ServiceConfig) -> None:
    """Whether a request has the key, if the service has one.

    Raises:
        Unauthorized: It has not.
    """
    if config.api_key is None:
        return
    key = config.api_key.get_secret_value()
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Hashes have the same length, so that the comparison takes the same time for every guess.
    hashes = [
        sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given.strip(), key)
    ]
    same = hmac.compare_digest(*hashes)
    if scheme.lower() != "bearer" or not same:
        raise Unauthorized(
            "this needs the service's key in the header 'Authorization: Bearer KEY'"
        )


def wants_body(environ: dict[str, Any], config: ServiceConfig) -> bool:
    """Whether the body of a request is worth reading, by its head.

    If not, the application answers without one: it finds the same fault, and says so.
    """
    request = Request(environ)
    try:
        check_origin(request, config)
        check_key(request, config)
    except HTTPException:
        return False
    return (
        request.method == "POST"
        and request.mimetype == "multipart/form-data"
        and (request.content_length or 0) <= config.most_bytes
    )


def path_prefix(text: str) -> str:
    """`/pictures` from what a user or a proxy calls the path that the service is below; or "".

    Raises:
        ValueError: It is none.
    """
    prefix = text.rstrip("/")
    if prefix and not prefix.startswith("/"):
        prefix = f"/{prefix}"
    if prefix and not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"a path prefix must be parts of letters, digits and . _ ~ - like /pictures, but got "
            f"'{text}'"
        )
    return prefix


def own_prefix(text: str) -> str:
    """The same of a prefix that requests still have when they arrive.

    Raises:
        ValueError: It is none, or could be taken for an address of the service.
    """
    prefix = path_prefix(text)
    if _clashes(prefix):
        raise ValueError(
            f"a path prefix must not begin like an address of the service "
            f"({', '.join(sorted(_OWN))}), but got '{text}'"
        )
    return prefix


class BelowPrefix:
    """Brings the paths of requests to what the application knows (SCRIPT_NAME and PATH_INFO).

    Proxies that take the prefix away and proxies that leave it are both served. The header
    `X-Forwarded-Prefix` counts from the proxies that are trusted only.
    """

    def __init__(self, app: Any, config: ServiceConfig) -> None:
        self._app, self._config = app, config

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """WSGI."""
        prefix = self._config.prefix
        try:
            prefix = self._forwarded(environ) or prefix
        except ValueError as error:
            environ.setdefault(REFUSAL, BadRequest(f"X-Forwarded-Prefix: {error}"))
        path = environ.get("PATH_INFO", "")
        if prefix:
            environ["SCRIPT_NAME"] = prefix
            if f"{path}/".startswith(f"{prefix}/") and not _clashes(prefix):
                environ["PATH_INFO"] = path[len(prefix) :] or "/"
        answer: Iterable[bytes] = self._app(environ, start_response)
        return answer

    def _forwarded(self, environ: dict[str, Any]) -> str:
        given = environ.get("HTTP_X_FORWARDED_PREFIX")
        if not given or not self._is_trusted(environ.get("REMOTE_ADDR", "")):
            return ""
        # Each proxy adds its own at the end; what comes before may be the client's invention.
        return path_prefix(given.rpartition(",")[2].strip())

    def _is_trusted(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, ipaddress.IPv6Address):
            found = found.ipv4_mapped or found
        return any(found in network for network in self._config.trusted_proxies)


def _clashes(prefix: str) -> bool:
    return prefix.strip("/").split("/")[0] in _OWN


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None
