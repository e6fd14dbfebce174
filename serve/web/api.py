"""The JSON interface."""

from pathlib import Path

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import BadRequest, NotFound, ServiceUnavailable

from serve.answer import Answer
from serve.decode import UnreadablePicture, thumbnail
from serve.similar import Collection
from serve.web.openapi import (
    NeighbourReply,
    PredictReply,
    Reply,
    SimilarReply,
    StatusReply,
    document,
)
from serve.web.service import Service, service

api = Blueprint("api", __name__)

_MOST_NAMED = 1000  # Classes or pictures that may be asked for.
_THUMBNAIL = 160  # Pixels of its longer side.


@api.post("/api/predict")
def predict() -> Response:
    """What pictures show."""
    here, count = service(), _number("top", 5)
    answers = [
        Answer.of(name, prediction, here.model.classes, count, here.limits)
        for name, prediction in zip(*here.predict(request), strict=True)
    ]
    return _json(PredictReply(predictions=answers))


@api.post("/api/similar")
def similar() -> Response:
    """The most similar pictures of the collection."""
    here, count = service(), _number("count", 6)
    collection = _collection(here)
    _, predictions = here.predict(request)
    if len(predictions) != 1:
        raise BadRequest(f"similar pictures are found for one picture, but got {len(predictions)}")
    found = [
        NeighbourReply.model_validate(near._asdict())
        for near in collection.nearest(predictions[0].embedding, count)
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


def _number(name: str, default: int) -> int:
    """The only parameter that a request may have."""
    given = request.args.to_dict(flat=False)
    values = given.pop(name, [str(default)])
    if given:
        raise BadRequest(f"the only parameter is {name}, but got '{next(iter(given))[:40]}'")
    text = values[0]
    fits = len(values) == 1 and text.isascii() and text.isdigit() and len(text) < 9
    if not (fits and 1 <= int(text) <= _MOST_NAMED):
        raise BadRequest(f"{name} must be a number from 1 to {_MOST_NAMED}, but got '{text[:40]}'")
    return int(text)


def _json(reply: Reply) -> Response:
    return Response(reply.model_dump_json(), mimetype="application/json")
