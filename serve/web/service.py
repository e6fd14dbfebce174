"""`Service`: a model with everything around it that requests need."""

import os
from collections.abc import Sized
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from flask import Request, current_app
from PIL import Image
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from werkzeug.exceptions import ServiceUnavailable

from records.pixels.heat import overlay_jpeg
from serve.answer import limits_of
from serve.model import Model, Prediction
from serve.similar import load_collection
from serve.web.batcher import Batcher
from serve.web.config import ServiceConfig
from serve.web.openapi import AccuracyReply, ModelReply
from serve.web.shared import Shared
from serve.web.uploads import Decoder

NAME = "convsearch"

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Counters:
    """What Prometheus can ask for at `/metrics`; each counter says itself what it counts."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "convsearch_requests", "Requests answered", ["endpoint", "status"], registry=registry
        )
        self.seconds = Histogram(
            "convsearch_request_seconds", "Time of a request after it was received", ["endpoint"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.images = Counter("convsearch_images", "Pictures answered", registry=registry)
        self.batches = Histogram(
            "convsearch_batch_images", "Pictures per run of the network", buckets=_SIZES,
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "convsearch_waiting_images", "Pictures waiting", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    def text(self) -> bytes:
        """In Prometheus' format, summed over the processes of the service."""
        registry = self._registry
        # Where processes count together, prometheus_client keeps what each counts in a folder.
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)


class Seen(NamedTuple):
    """A picture of a request: its name, pixels `(side, side, 3)` uint8, and what it shows."""

    name: str
    pixels: np.ndarray
    prediction: Prediction


class Service:
    """What the endpoints work with.

    Attributes:
        collection: Pictures to compare with; None if no index was given.
        shared: What the processes of the service have in common.
        queue: Requests that wait for a thread of the server, which puts its own queue here.

    Raises:
        ValueError: In one sentence, if the index cannot be used.
    """

    def __init__(
        self, model: Model, config: ServiceConfig, index: Path | None, shared: Shared
    ) -> None:
        self.model, self.config, self.shared = model, config, shared
        self.collection = None if index is None else load_collection(index, model)
        self.counters = Counters()
        self.batcher = Batcher(
            model, config.most_waiting, self.counters.batches, self.counters.waiting
        )
        self.decoder = Decoder(model.side, config, shared.pixels, model.metrics.data.fit)
        self.queue: Sized = ()
        self.limits = limits_of(model, config.unsure_below, config.unsure_beyond)
        # The network takes longer the first time.
        model.predict(np.zeros((1, model.side, model.side, 3), np.uint8))
        Image.init()

    def predict(self, request: Request, *, explained: bool = False) -> list[Seen]:
        """The pictures of a request, what the model says of them, and where it looks if asked.

        Raises:
            HTTPException: What is wrong with the request, or that there is too much to do.
        """
        if len(self.queue) > self.config.most_waiting:
            # Said at once, so that those behind, and whoever asks how we are, get their turn.
            raise ServiceUnavailable("too many requests wait already: try again in a moment")
        names, images = self.decoder.images(request)
        predictions = self.batcher.predict(images, self.config.seconds, explained=explained)
        self.counters.images.inc(len(predictions))
        return list(map(Seen, names, images, predictions))

    def overlay(self, seen: Seen) -> bytes:
        """Where the model looks in a picture, as a JPEG file, if that was asked for."""
        assert seen.prediction.heat is not None
        return overlay_jpeg(seen.pixels, seen.prediction.heat, self.model.metrics.data.crop)

    @cached_property
    def about(self) -> ModelReply:
        """What the service says of itself."""
        metrics, test = self.model.metrics, self.model.metrics.test
        return ModelReply(
            study=metrics.search.study,
            created=metrics.created,
            digest=self.model.digest,
            classes=list(self.model.classes),
            image_size=self.model.side,
            test=AccuracyReply(accuracy=test.accuracy, interval_95=test.interval_95, n=test.n),
            unsure_below=self.limits.below,
            unsure_because=self.limits.below_because,
            unsure_beyond=self.limits.beyond,
            unsure_beyond_because=self.limits.beyond_because,
            unexplained=self.model.unexplained,
            pictures=None if self.collection is None else len(self.collection),
            **self.config.model_dump(include={"most_bytes", "most_images", "most_pixels"}),
        )


def service() -> Service:
    """That of the app that answers the current request."""
    return cast(Service, current_app.extensions[NAME])
