"""The JSON that the service answers with; the OpenAPI document is made from these."""

from pydantic import BaseModel, ConfigDict, Field


class Reply(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorReply(Reply):
    """Why a request was not answered."""

    error: str = Field(description="a word that stays the same")
    message: str = Field(description="a sentence for people")


class ClassReply(Reply):
    """A class and its probability."""

    name: str
    probability: float = Field(ge=0, le=1)


class PredictionReply(Reply):
    """What one picture shows."""

    file: str = Field(description="the name that was sent with it")
    top: list[ClassReply] = Field(description="the most probable classes, the most probable first")
    unsure: bool = Field(description="whether the first one's probability is below `unsure_below`")


class PredictReply(Reply):
    """What the pictures show, in the order they were sent."""

    predictions: list[PredictionReply]


class NeighbourReply(Reply):
    """A similar picture of the collection."""

    picture: int = Field(description="its number, for `/api/pictures/{picture}`")
    path: str
    name: str = Field(description="the class that the model sees in it")
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
    pictures: int | None = Field(description="pictures in the index; null if there is none")
    most_bytes: int
    most_images: int
    most_pixels: int


class StatusReply(Reply):
    """How the service is."""

    status: str
