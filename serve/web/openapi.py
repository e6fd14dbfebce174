"""The OpenAPI document of the service, made from its replies."""

from typing import Any

from pydantic.json_schema import models_json_schema

from serve.web.replies import (
    ErrorReply,
    ModelReply,
    PredictReply,
    Reply,
    SimilarReply,
    StatusReply,
)

_REPLIES: tuple[type[Reply], ...] = (
    ErrorReply, ModelReply, PredictReply, SimilarReply, StatusReply,
)  # fmt: skip

_REASONS = {
    400: "a field or parameter is missing or wrong",
    401: "the key is missing or wrong",
    403: "another web site sent it",
    404: "it is not there",
    413: "too many bytes, pictures or pixels",
    415: "not multipart/form-data, or no JPEG, PNG or WebP picture",
    422: "a damaged picture",
    503: "too much to do at the moment; Retry-After says when to come again",
}
_ALWAYS = (400, 403)
_UPLOADS = (413, 415, 422, 503)


def document(needs_key: bool) -> dict[str, Any]:
    """OpenAPI 3.1.

    Args:
        needs_key: Whether the service asks for a key.
    """
    _, schemas = models_json_schema(
        [(reply, "serialization") for reply in _REPLIES],
        ref_template="#/components/schemas/{model}",
    )
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    if needs_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "convsearch model", "version": "1"},
        "paths": _paths(needs_key),
        "components": components,
    }


def _paths(needs_key: bool) -> dict[str, Any]:
    key: tuple[int, ...] = (401,) if needs_key else ()
    number = {"in": "path", "name": "picture", "required": True, "schema": _integer(0)}
    paths = {
        "/api/predict": {"post": _upload("What pictures show", "top", 5, PredictReply, key)},
        "/api/similar": {
            "post": _upload("Similar pictures", "count", 6, SimilarReply, (404, *key), many=False)
        },
        "/api/pictures/{picture}": {
            "get": {
                **_get("A small picture of the index", "image/jpeg", {}, (404, 503, *key)),
                "parameters": [number],
            }
        },
        "/api/model": {"get": _get("What answers", "application/json", _ref(ModelReply), key)},
        "/metrics": {"get": _get("For Prometheus", "text/plain", {"type": "string"}, key)},
        "/healthz": {"get": _get("Alive", "application/json", _ref(StatusReply), ())},
        "/readyz": {"get": _get("Ready", "application/json", _ref(StatusReply), (503,))},
    }
    if needs_key:
        for path in ("/api/predict", "/api/similar"):
            paths[path]["post"]["security"] = [{"key": []}]
        for path in ("/api/pictures/{picture}", "/api/model", "/metrics"):
            paths[path]["get"]["security"] = [{"key": []}]
    return paths


def _upload(
    title: str, parameter: str, default: int, reply: type[Reply], more: tuple[int, ...],
    many: bool = True,
) -> dict[str, Any]:  # fmt: skip
    file = {"type": "string", "format": "binary"}
    image = {"type": "array", "minItems": 1, "items": file} if many else file
    form = {
        "schema": {"type": "object", "required": ["image"], "properties": {"image": image}},
        "encoding": {"image": {"contentType": "image/jpeg, image/png, image/webp"}},
    }
    return {
        **_get(title, "application/json", _ref(reply), (*_UPLOADS, *more)),
        "parameters": [
            {"in": "query", "name": parameter, "schema": {**_integer(1, 1000), "default": default}}
        ],
        "requestBody": {"required": True, "content": {"multipart/form-data": form}},
    }


def _get(title: str, media: str, schema: dict[str, Any], more: tuple[int, ...]) -> dict[str, Any]:
    errors = {
        str(status): {
            "description": _REASONS[status],
            "content": {"application/json": {"schema": _ref(ErrorReply)}},
        }
        for status in sorted({*_ALWAYS, *more})
    }
    return {
        "summary": title,
        "responses": {
            "200": {"description": title, "content": {media: {"schema": schema}}},
            **errors,
        },
    }


def _integer(least: int, most: int | None = None) -> dict[str, Any]:
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": "integer", **bounds}


def _ref(reply: type[Reply]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{reply.__name__}"}
