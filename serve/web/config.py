"""`ServiceConfig`: what the service allows."""

from pydantic import BaseModel, ConfigDict, Field, IPvAnyNetwork, SecretStr

SHORTEST_KEY = 16  # Characters; shorter ones can be guessed.


class ServiceConfig(BaseModel):
    """Limits of the service. Frozen; unknown keys are refused.

    Attributes:
        most_bytes: Bytes of one request.
        most_images: Pictures of one request.
        most_buffered: Bytes of requests that all processes together keep in memory.
        most_pixels: Pixels of one picture, as its head says, before it is decoded.
        most_pixels_at_once: Pixels of the large pictures that all processes together decode at
            the same time.
        most_waiting: Pictures that may wait for their prediction in each process, and requests
            that may wait for a thread; beyond that, requests are turned away at once.
        threads: Requests in the works at the same time in each process; more of them get into
            each other's way.
        seconds: How long a request may wait for its turn.
        api_key: What clients must send as `Authorization: Bearer ...`; None = nothing.
        hosts: Names under which the service answers; None = any.
        prefix: Path that the service is below, as `/pictures`.
        trusted_proxies: Addresses whose header `X-Forwarded-Prefix` counts.
        unsure_below: Probability below which a prediction is unsure; None = as the held-out
            pictures say.
        unsure_beyond: Distance to the training pictures above which it is unsure; None = as the
            held-out pictures say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_bytes: int = Field(default=16 << 20, ge=1024)
    most_images: int = Field(default=32, ge=1)
    most_buffered: int = Field(default=256 << 20, ge=1024)
    most_pixels: int = Field(default=50_000_000, ge=1)
    most_pixels_at_once: int = Field(default=100_000_000, ge=1)
    most_waiting: int = Field(default=64, ge=1)
    threads: int = Field(default=16, ge=2)
    seconds: float = Field(default=20.0, gt=0)
    api_key: SecretStr | None = Field(default=None, min_length=SHORTEST_KEY)
    hosts: tuple[str, ...] | None = None
    prefix: str = ""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    unsure_below: float | None = Field(default=None, ge=0, le=1)
    unsure_beyond: float | None = Field(default=None, ge=0)
