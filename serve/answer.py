"""What is said about a picture, in the same words on the console, in JSON and over HTTP.

An answer is unsure for one of two reasons, or for both. A probability is spread over the classes
that a model knows: it is low for a picture between two classes, and says nothing about a picture
of none of them. The distance to the training pictures says that.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from serve.model import Model, Prediction
from serve.thresholds import SURE, overall, read_held_out

Doubt = Literal["probability", "distance"]

DOUBTS: dict[Doubt, str] = {
    "probability": "low probability",
    "distance": "unlike the training pictures",
}
NO_DISTANCE = (
    "This model was exported without familiarity.npz, so that pictures of none of its classes can "
    "pass as sure: only the probability tells which answers are unsure, until it is searched and "
    "exported again."
)


class Limits(NamedTuple):
    """From where on an answer is unsure.

    Attributes:
        below: Probability in [0, 1] below which it is.
        below_because: Where that comes from, a sentence.
        beyond: Distance above which it is; None if the distance is not known.
        beyond_because: Where that comes from, a sentence.
    """

    below: float
    below_because: str
    beyond: float | None
    beyond_because: str

    def doubts(self, prediction: Prediction) -> list[Doubt]:
        """What speaks against an answer; nothing if it is sure."""
        found: list[Doubt] = []
        if float(prediction.probabilities.max()) < self.below:
            found.append("probability")
        if is_beyond(prediction, self.beyond):
            found.append("distance")
        return found


def is_beyond(prediction: Prediction, limit: float | None) -> bool:
    """Whether a picture is further than that from the training pictures, as far as is known."""
    distance = prediction.distance
    return limit is not None and distance is not None and distance > limit


def limits_of(model: Model, below: float | None = None, beyond: float | None = None) -> Limits:
    """Those that were set, and for the others those that held-out pictures tell."""
    known = model.familiarity
    if known is None:
        distance: tuple[float | None, str] = None, NO_DISTANCE
    elif beyond is not None:
        distance = beyond, "It was set by whoever runs this service."
    else:
        distance = known.limit, known.because
    return Limits(*_least_probability(model, below), *distance)


def _least_probability(model: Model, below: float | None) -> tuple[float, str]:
    if below is not None:
        return below, "It was set by whoever runs this service."
    held = read_held_out(model.folder, len(model.classes))
    found = None if held is None else overall(held, SURE)
    if found is None or found.probability is None:
        # Of two classes, the more probable one has a half at least, whatever the picture.
        guess = (1 + 1 / len(model.classes)) / 2
        why = "nothing was held out to choose it by" if found is None else found.doubt
        return guess, f"It is a guess, halfway from chance: {why}."
    return found.probability, (
        f"Of the answers about held-out pictures, {found.share:.0%} reached it, and "
        f"{found.precision:.0%} of these were right."
    )


class _Said(BaseModel):
    # `class` is a word of Python.
    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class ClassAnswer(_Said):
    """A class and its probability."""

    name: str = Field(serialization_alias="class")
    probability: float = Field(ge=0, le=1)


class Answer(_Said):
    """What one picture shows."""

    path: str = Field(description="the picture's file, or the name that was sent with it")
    name: str = Field(serialization_alias="class", description="the most probable class")
    probability: float = Field(ge=0, le=1)
    top: list[ClassAnswer] = Field(
        description="the most probable classes, the most probable first"
    )
    unsure: bool = Field(description="whether anything speaks against the answer")
    unsure_by: list[Doubt] = Field(
        description="what does: the probability is below `unsure_below`, or the distance above "
        "`unsure_beyond`"
    )
    distance: float | None = Field(
        description="to the training pictures, 0 = the same; null if the model's export tells none"
    )

    @classmethod
    def of(
        cls,
        path: str,
        prediction: Prediction,
        classes: tuple[str, ...],
        count: int,
        limits: Limits,
    ) -> "Answer":
        """The answer with the `count` most probable of the classes."""
        best = prediction.top(classes, count)
        top = [ClassAnswer(name=name, probability=round(p, 6)) for name, p in best]
        doubts, distance = limits.doubts(prediction), prediction.distance
        return cls(
            path=path,
            **top[0].model_dump(by_alias=False),
            top=top,
            unsure=bool(doubts),
            unsure_by=doubts,
            distance=None if distance is None else float(f"{distance:.6g}"),
        )
