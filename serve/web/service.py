"""`Service`: a model with everything around it that requests need."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from flask import Request, current_app
from PIL import Image

from serve.library.nearest import Collection
from serve.library.thresholds import SURE, UNSURE_WITHOUT, overall, read_held_out
from serve.model import Answers, Model
from serve.web.batcher import Batcher
from serve.web.errors import Busy
from serve.web.figures import Figures
from serve.web.replies import ModelReply
from serve.web.settings import ServiceConfig
from serve.web.uploads import Decoder

NAME = "convsearch"


@dataclass(frozen=True)
class Service:
    """What the endpoints work with.

    Attributes:
        model: What answers.
        config: What is allowed.
        collection: Pictures to compare with; None if no index was given.
        figures: What is counted.
        batcher: Asks the model.
        queued: How many requests wait for a thread of the server.
        decoder: Reads uploads.
        unsure_below: Probability below which an answer counts as unsure.
        unsure_because: Where that comes from.
    """

    model: Model
    config: ServiceConfig
    collection: Collection | None
    figures: Figures
    batcher: Batcher
    queued: Callable[[], int]
    decoder: Decoder
    unsure_below: float
    unsure_because: str

    @classmethod
    def of(
        cls,
        model: Model,
        config: ServiceConfig,
        collection: Collection | None,
        figures: Figures,
        queued: Callable[[], int],
    ) -> "Service":
        """Put it together, and run the network once, which takes longer the first time."""
        model.answer(np.zeros((1, model.side, model.side, 3), np.uint8))
        Image.init()
        batcher = Batcher(model, config.most_waiting, figures)
        decoder = Decoder(model.side, config)
        unsure = _unsure(model, config)
        return cls(model, config, collection, figures, batcher, queued, decoder, *unsure)

    def look(self, request: Request) -> tuple[list[str], Answers]:
        """Names of the pictures in a request, and what the model says of them.

        Raises:
            ApiError: What is wrong with the request, or that there is too much to do.
        """
        if self.queued() > self.config.most_waiting:
            # Said at once, so that those behind, and whoever asks how we are, get their turn.
            raise Busy("too many requests wait already: try again in a moment")
        names, images = self.decoder.images(request)
        said = self.batcher.answer(images, self.config.seconds)
        self.figures.images(len(said))
        return names, said

    @cached_property
    def facts(self) -> ModelReply:
        """What the service says of itself."""
        facts = self.model.facts
        return ModelReply(
            study=facts.search.study,
            created=facts.created,
            digest=self.model.digest,
            classes=list(self.model.classes),
            image_size=self.model.side,
            test=facts.test.model_dump(),
            unsure_below=self.unsure_below,
            unsure_because=self.unsure_because,
            pictures=None if self.collection is None else len(self.collection),
            **self.config.model_dump(include={"most_bytes", "most_images", "most_pixels"}),
        )


def service() -> Service:
    """That of the app that answers the current request."""
    return cast(Service, current_app.extensions[NAME])


def _unsure(model: Model, config: ServiceConfig) -> tuple[float, str]:
    """From where on answers are unsure, and why."""
    if config.unsure_below is not None:
        return config.unsure_below, "It was set by whoever runs this service."
    held = read_held_out(model.folder)
    found = None if held is None else overall(held, SURE)
    if found is None or found.probability is None:
        return UNSURE_WITHOUT, "It is a guess: nothing was held out to choose it by."
    return found.probability, (
        f"Of the answers about held-out pictures, {found.share:.0%} reached it, and "
        f"{found.precision:.0%} of these were right."
    )
