"""An accuracy with what it rests on, from what a search claims to what a test says."""

from pydantic import BaseModel, ConfigDict

from records.statistics import Spread
from records.words import percent


class Estimate(BaseModel):
    """An accuracy in [0, 1], and `low` and `high`: an interval of this name, if one is known.

    If there is none, `interval` says why. It is of `n` of something, as `of` says.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    name: str
    accuracy: float
    low: float | None
    high: float | None
    interval: str
    n: int | None
    of: str


def validated(accuracy: float, n: int | None, trials: int) -> Estimate:
    """What the search claims; an interval would be of one trial, not of the best of many."""
    return Estimate(
        name="in the search", accuracy=accuracy, low=None, high=None,
        interval=f"no interval, since it is of the best of {trials} trials",
        n=n, of="validation images",
    )  # fmt: skip


def confirmed(spread: Spread) -> Estimate:
    """What fresh seeds say."""
    mean, std = spread.mean, spread.std
    low, high = (None, None) if std is None else (mean - std, mean + std)
    return Estimate(
        name="confirmed", accuracy=mean, low=low, high=high,
        interval="one seed has no spread" if std is None else "± one standard deviation",
        n=spread.n, of="fresh seeds",
    )  # fmt: skip


def in_words(confirmed: Spread) -> str:
    """Mean and deviation of an accuracy over seeds."""
    deviation = "" if confirmed.std is None else f" ± {percent(confirmed.std)}"
    return f"{percent(confirmed.mean)}{deviation} (n = {confirmed.n})"
