"""Everything that can be wrong with a request, as one JSON object.

ApiError
|- BadRequest           400  a field or parameter is missing or wrong
|- NoKey                401  the API key is missing or wrong
|- Foreign              403  another web site sent it
|- NothingThere         404  no such picture, no index
|- TooLarge             413  too many bytes, pictures or pixels
|- WrongType            415  not multipart/form-data, or no picture of a known format
|- Undecodable          422  a picture that is damaged
`- Busy                 503  too much to do at the moment
"""

from typing import ClassVar

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from serve.web.replies import ErrorReply

_NAMES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 400: "bad_request"}


class ApiError(Exception):
    """A request that cannot be answered; the text says the rule and what was sent."""

    status: ClassVar[int]
    name: ClassVar[str]


class BadRequest(ApiError):
    """A field or parameter is missing or wrong."""

    status, name = 400, "bad_request"


class NoKey(ApiError):
    """The API key is missing or wrong."""

    status, name = 401, "no_key"


class Foreign(ApiError):
    """Another web site had a browser send it."""

    status, name = 403, "foreign"


class NothingThere(ApiError):
    """What was asked for is not there."""

    status, name = 404, "not_found"


class TooLarge(ApiError):
    """Too many bytes, pictures or pixels."""

    status, name = 413, "too_large"


class WrongType(ApiError):
    """Not multipart/form-data, or not a picture of a known format."""

    status, name = 415, "wrong_type"


class Undecodable(ApiError):
    """A damaged picture."""

    status, name = 422, "undecodable"


class Busy(ApiError):
    """Too much to do at the moment."""

    status, name = 503, "busy"


def answer_errors(app: Flask) -> None:
    """Have an app answer all errors in the same form."""
    app.register_error_handler(ApiError, _ours)
    app.register_error_handler(HTTPException, _of_werkzeug)
    app.register_error_handler(Exception, _bug)


def _ours(error: ApiError) -> Response:
    response = _reply(error.status, error.name, str(error))
    if isinstance(error, Busy):
        response.headers["Retry-After"] = "1"
    if isinstance(error, NoKey):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _of_werkzeug(error: HTTPException) -> Response:
    status = error.code or 500
    response = _reply(status, _NAMES.get(status, "refused"), str(error.description))
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _bug(error: Exception) -> Response:
    from flask import current_app

    current_app.logger.exception("a request ended with a bug of ours")
    return _reply(500, "bug", "the service has a fault; its log says more")


def _reply(status: int, name: str, message: str) -> Response:
    response = jsonify(ErrorReply(error=name, message=message).model_dump())
    response.status_code = status
    return response
