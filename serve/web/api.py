"""The JSON interface."""

from pathlib import Path

from flask import Blueprint, Response, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST

from serve.decode import UnreadablePicture
from serve.library.nearest import Collection
from serve.model import Answers
from serve.predict import ranked
from serve.web.errors import BadRequest, Busy, NothingThere
from serve.web.openapi import document
from serve.web.replies import (
    ClassReply,
    NeighbourReply,
    PredictionReply,
    PredictReply,
    Reply,
    SimilarReply,
    StatusReply,
)
from serve.web.service import Service, service

api = Blueprint("api", __name__)

MOST_NAMED = 1000
"""Classes or pictures that may be asked for."""

_THUMBNAIL = 160


@api.post("/api/predict")
def predict() -> Response:
    """What pictures show."""
    here, top = service(), _number("top", 5)
    names, said = here.look(request)
    return _json(
        PredictReply(
            predictions=[_prediction(here, said, i, name, top) for i, name in enumerate(names)]
        )
    )


@api.post("/api/similar")
def similar() -> Response:
    """The most similar pictures of the collection."""
    here, count = service(), _number("count", 6)
    collection = _collection(here)
    names, said = here.look(request)
    if len(names) != 1:
        raise BadRequest(f"similar pictures are found for one picture, but got {len(names)}")
    near = collection.nearest(said.embeddings[0], count)
    return _json(
        SimilarReply(
            neighbours=[
                NeighbourReply(picture=n.row, path=n.path, name=n.name, similarity=n.similarity)
                for n in near
            ]
        )
    )


@api.get("/api/pictures/<int:picture>")
def picture(picture: int) -> Response:
    """A small picture of the collection."""
    here = service()
    collection = _collection(here)
    if picture >= len(collection):
        raise NothingThere(f"there are {len(collection)} pictures, but number {picture} is asked")
    path = Path(collection.root, collection.paths[picture])
    try:
        content = here.decoder.thumbnail(path, _THUMBNAIL)
    except UnreadablePicture as error:
        raise NothingThere(f"picture {picture} of the index cannot be read: {error}") from None
    return Response(content, mimetype="image/jpeg")


@api.get("/api/model")
def model() -> Response:
    """What answers."""
    return _json(service().facts)


@api.get("/healthz")
def healthz() -> Response:
    """Whether the process answers."""
    return _json(StatusReply(status="ok"))


@api.get("/readyz")
def readyz() -> Response:
    """Whether requests are answered."""
    if not service().batcher.alive:
        raise Busy("the network does not answer any more: start the service again")
    return _json(StatusReply(status="ready"))


@api.get("/metrics")
def metrics() -> Response:
    """Figures for Prometheus."""
    return Response(service().figures.text(), content_type=CONTENT_TYPE_LATEST)


@api.get("/openapi.json")
def openapi() -> Response:
    """This interface, described."""
    here = service()
    return jsonify(document(here.config.api_key is not None))


def _prediction(here: Service, said: Answers, row: int, name: str, top: int) -> PredictionReply:
    best = ranked(said.probabilities[row], here.model.classes, top)
    return PredictionReply(
        file=name,
        top=[ClassReply(name=n, probability=p) for n, p in best],
        unsure=best[0][1] < here.unsure_below,
    )


def _collection(here: Service) -> Collection:
    if here.collection is None:
        raise NothingThere("this service has no index: start it with --index")
    return here.collection


def _number(name: str, default: int) -> int:
    """The only parameter that a request may have."""
    given = request.args.to_dict(flat=False)
    values = given.pop(name, [str(default)])
    if given:
        raise BadRequest(f"the only parameter is {name}, but got '{next(iter(given))[:40]}'")
    text = values[0]
    fits = len(values) == 1 and text.isascii() and text.isdigit() and len(text) < 9
    if not (fits and 1 <= int(text) <= MOST_NAMED):
        raise BadRequest(f"{name} must be a number from 1 to {MOST_NAMED}, but got '{text[:40]}'")
    return int(text)


def _json(reply: Reply) -> Response:
    return Response(reply.model_dump_json(), mimetype="application/json")
