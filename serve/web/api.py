"""The JSON interface."""

from pathlib import Path

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from serve.answer import Answer
from serve.decode import UnreadablePicture, thumbnail
from serve.similar import Collection
from serve.web.openapi import (
    OF_PREDICT,
    OF_SIMILAR,
    ExplainedAnswer,
    ExplainedReply,
    NeighbourReply,
    NumberParameter,
    PredictReply,
    Reply,
    SimilarReply,
    StatusReply,
    document,
)
from serve.web.service import Service, service

api = Blueprint("api", __name__)

_THUMBNAIL = 160  # Pixels of its longer side.


@api.post("/api/predict")
def predict() -> Response:
    """What pictures show."""
    here, asked = service(), _numbers(OF_PREDICT)
    explained = asked["explain"] == 1
    if explained and here.model.unexplained is not None:
        raise BadRequest(here.model.unexplained)
    seen = here.predict(request, explained=explained)
    answers = [
        Answer.of(one.name, one.prediction, here.model.classes, asked["top"], here.limits)
        for one in seen
    ]
    if not explained:
        return _json(PredictReply(predictions=answers))
    shown = [
        ExplainedAnswer.showing(answer, here.overlay(one))
        for answer, one in zip(answers, seen, strict=True)
    ]
    return _json(ExplainedReply(predictions=shown))


@api.post("/api/similar")
def similar() -> Response:
    """The most similar pictures of the collection."""
    here, asked = service(), _numbers(OF_SIMILAR)
    collection = _collection(here)
    seen = here.predict(request)
    if len(seen) != 1:
        raise BadRequest(f"similar pictures are found for one picture, but got {len(seen)}")
    found = [
        NeighbourReply.model_validate(near._asdict())
        for near in collection.nearest(seen[0].prediction.embedding, asked["count"])
    ]
    return _json(SimilarReply(neighbours=found))


@api.get("/api/pictures/<int:picture>")
def picture(picture: int) -> Response:
    """A small picture of the collection."""
    here = service()
    collection = _collection(here)
    if picture >= len(collection):
        raise NotFound(f"there are {len(collection)} pictures, but number {picture} is asked")
    path = Path(collection.root, collection.paths[picture])
    try:
        content = thumbnail(path, _THUMBNAIL, here.decoder.turn)
    except UnreadablePicture as error:
        raise NotFound(f"picture {picture} of the index cannot be read: {error}") from None
    return Response(content, mimetype="image/jpeg")


@api.get("/api/model")
def model() -> Response:
    """What answers."""
    return _json(service().about)


@api.get("/healthz")
def healthz() -> Response:
    """Whether the process answers."""
    return _json(StatusReply(status="ok"))


@api.get("/readyz")
def readyz() -> Response:
    """Whether requests are answered."""
    if not service().batcher.alive:
        raise ServiceUnavailable("the network does not answer any more: start the service again")
    return _json(StatusReply(status="ready"))


@api.get("/metrics")
def metrics() -> Response:
    """What Prometheus asks for."""
    return Response(service().counters.text(), content_type=CONTENT_TYPE_LATEST)


@api.get("/openapi.json")
def openapi() -> Response:
    """This interface, described."""
    needs_key = service().config.api_key is not None
    # A relative address means the folder that this document is in.
    return jsonify(document(needs_key, request.root_path or "."))


def _collection(here: Service) -> Collection:
    if here.collection is None:
        raise NotFound("this service has no index: start it with --index")
    return here.collection


def _numbers(known: tuple[NumberParameter, ...]) -> dict[str, int]:
    """The parameters that a request may have, by name."""
    given = request.args.to_dict(flat=False)
    found = {one.name: _number(one, given.pop(one.name, None)) for one in known}
    if given:
        names = " and ".join(found)
        are = "parameters are" if len(found) > 1 else "only parameter is"
        raise BadRequest(f"the {are} {names}, but got '{next(iter(given))[:40]}'")
    return found


def _number(known: NumberParameter, values: list[str] | None) -> int:
    if values is None:
        return known.default
    text = values[0]
    fits = len(values) == 1 and text.isascii() and text.isdigit() and len(text) < 9
    if not (fits and known.low <= int(text) <= known.high):
        raise BadRequest(
            f"{known.name} must be a number from {known.low} to {known.high}, but got "
            f"'{text[:40]}'"
        )
    return int(text)


def _json(reply: Reply) -> Response:
    return Response(reply.model_dump_json(), mimetype="application/json")
