"""The JSON that the service answers with, and the OpenAPI document that is made from it."""

import base64
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import models_json_schema

from serve.answer import Answer


class Reply(BaseModel):
    """Part of an answer."""

    # `class` is a word of Python.
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class ErrorReply(Reply):
    """Why a request was not answered."""

    error: str = Field(description="a word that stays the same")
    message: str = Field(description="a sentence for people")


class PredictReply(Reply):
    """What the pictures show, in the order they were sent."""

    predictions: list[Answer]


class ExplainedAnswer(Answer):
    """What one picture shows, and where the model looks."""

    overlay: str = Field(
        description="JPEG in base64: the picture's square that the model takes, in grey, under a "
        "class-activation map of the most probable class, from dark blue by green to yellow"
    )

    @classmethod
    def showing(cls, answer: Answer, overlay: bytes) -> "ExplainedAnswer":
        """The answer with the content of a JPEG file."""
        said = answer.model_dump(by_alias=False)
        return cls(**said, overlay=base64.b64encode(overlay).decode("ascii"))


class ExplainedReply(Reply):
    """What the pictures show, in the order they were sent, and where the model looks."""

    predictions: list[ExplainedAnswer]


class NeighbourReply(Reply):
    """A similar picture of the collection."""

    picture: int = Field(description="its number, for `/api/pictures/{picture}`")
    path: str
    name: str = Field(
        serialization_alias="class", description="the class that the model sees in it"
    )
    similarity: float = Field(ge=-1, le=1, description="cosine; 1 is the same picture")


class SimilarReply(Reply):
    """The pictures most like the one that was sent."""

    neighbours: list[NeighbourReply]


class AccuracyReply(Reply):
    """Accuracy on the test images."""

    accuracy: float
    interval_95: tuple[float, float]
    n: int


class ModelReply(Reply):
    """What answers."""

    study: str
    created: str
    digest: str = Field(description="SHA-256 of model.onnx")
    classes: list[str]
    image_size: int = Field(description="side in pixels that pictures are brought to")
    test: AccuracyReply
    unsure_below: float = Field(description="probability below which an answer counts as unsure")
    unsure_because: str = Field(description="where that comes from")
    unsure_beyond: float | None = Field(
        description="distance above which an answer counts as unsure; null if the model's export "
        "tells no distances"
    )
    unsure_beyond_because: str = Field(description="where that comes from, or why it is null")
    unexplained: str | None = Field(
        description="why the model cannot show where it looks (explain=1); null if it can"
    )
    pictures: int | None = Field(description="pictures in the index; null if there is none")
    most_bytes: int
    most_images: int
    most_pixels: int


class StatusReply(Reply):
    """How the service is."""

    status: str


class NumberParameter(NamedTuple):
    """A whole number that a request may give in its address, from `low` to `high`."""

    name: str
    low: int
    high: int
    default: int

    @property
    def schema(self) -> dict[str, Any]:
        """In OpenAPI."""
        limits = {"minimum": self.low, "maximum": self.high, "default": self.default}
        return {"in": "query", "name": self.name, "schema": {"type": "integer", **limits}}


OF_PREDICT = NumberParameter("top", 1, 1000, 5), NumberParameter("explain", 0, 1, 0)
OF_SIMILAR = (NumberParameter("count", 1, 1000, 6),)

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
_UPLOADS = (413, 415, 422, 503)


def document(needs_key: bool, server: str) -> dict[str, Any]:
    """OpenAPI 3.1, of a service that asks for a key or does not, below a path."""
    replies = (ErrorReply, ExplainedReply, ModelReply, PredictReply, SimilarReply, StatusReply)
    _, schemas = models_json_schema(
        [(reply, "serialization") for reply in replies],
        ref_template="#/components/schemas/{model}",
    )
    components: dict[str, Any] = {"schemas": schemas["$defs"]}
    protected = _protected_paths()
    if needs_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        for operation in (one for path in protected.values() for one in path.values()):
            operation["security"] = [{"key": []}]
            operation["responses"].update(_errors(401))
    return {
        "openapi": "3.1.0",
        "info": {"title": "convsearch model", "version": "2"},
        "servers": [{"url": server}],
        "paths": {
            **protected,
            "/healthz": {"get": _operation("Alive", _ref(StatusReply))},
            "/readyz": {"get": _operation("Ready", _ref(StatusReply), 503)},
        },
        "components": components,
    }


def _protected_paths() -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    files = {"type": "array", "minItems": 1, "items": file}
    number = {"type": "integer", "minimum": 0}
    picture = {"in": "path", "name": "picture", "required": True, "schema": number}
    answers = {"anyOf": [_ref(PredictReply), _ref(ExplainedReply)]}
    predict = _operation("What pictures show", answers, *_UPLOADS)
    similar = _operation("Similar pictures", _ref(SimilarReply), *_UPLOADS, 404)
    small = _operation("A small picture of the index", {}, 404, 503, media="image/jpeg")
    return {
        "/api/predict": {"post": {**predict, **_upload(files, OF_PREDICT)}},
        "/api/similar": {"post": {**similar, **_upload(file, OF_SIMILAR)}},
        "/api/pictures/{picture}": {"get": {**small, "parameters": [picture]}},
        "/api/model": {"get": _operation("What answers", _ref(ModelReply))},
        "/metrics": {"get": _operation("For Prometheus", {"type": "string"}, media="text/plain")},
    }


def _upload(image: dict[str, Any], parameters: tuple[NumberParameter, ...]) -> dict[str, Any]:
    form = {
        "schema": {"type": "object", "required": ["image"], "properties": {"image": image}},
        "encoding": {"image": {"contentType": "image/jpeg, image/png, image/webp"}},
    }
    return {
        "parameters": [parameter.schema for parameter in parameters],
        "requestBody": {"required": True, "content": {"multipart/form-data": form}},
    }


def _operation(
    title: str, schema: dict[str, Any], *errors: int, media: str = "application/json"
) -> dict[str, Any]:
    good = {"description": title, "content": {media: {"schema": schema}}}
    return {"summary": title, "responses": {"200": good, **_errors(400, 403, *errors)}}


def _errors(*statuses: int) -> dict[str, Any]:
    content = {"application/json": {"schema": _ref(ErrorReply)}}
    return {str(one): {"description": _REASONS[one], "content": content} for one in statuses}


def _ref(reply: type[Reply]) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{reply.__name__}"}
