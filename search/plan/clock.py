"""`Clock`: how long a search may take, and what was measured that tells what fits in."""

from pydantic import BaseModel, ConfigDict

FEATURES = 0.5
"""Share of a budget, at most, that passes over all pictures may take: the features of those that
are searched on, and the test at the end."""
VIEWS = 0.2
"""Share of it that augmented views may take beside that."""
STEP = 32  # Pixels between two resolutions that are considered: networks halve five times.
SMALLEST = 96  # Pixels below which ImageNet's features are not worth having.
LAST = 25.0
"""Seconds of a search's end beside trainings and tests: calibration, export, its check, report."""
_FORWARD = 3.0  # How many times faster a network answers than it learns.


class Speeds(BaseModel):
    """Pictures per second with the default configuration, one worker alone; None = not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    training: float | None = None  # Full ones, and fine-tunings at their own resolution.
    features: float | None = None  # Of probes, at the largest resolution.


class Clock(BaseModel):
    """A budget that has begun."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    began: float  # Seconds since the epoch.
    seconds: float
    workers: int = 1
    speeds: Speeds = Speeds()
    resolution: int | None = None  # Of probes, in pixels; None = the largest there is.
    views: int | None = None  # Of probes, at most; None = as many as the space has.
    per_view: float = 0.0  # Seconds for the features of one view of all pictures.
    after: float = LAST  # Seconds that test and export take at the end.

    @property
    def ends(self) -> float:
        """When everything should be over, in seconds since the epoch."""
        return self.began + self.seconds

    def left(self, now: float) -> float:
        """Seconds that are left, at least 0."""
        return max(0.0, self.ends - now)


def fitting_resolution(side: int, pictures: float, features: float, seconds: float) -> int:
    """The largest resolution at which so many pictures pass a network in so many seconds.

    Args:
        side: The largest that there is, in pixels.
        pictures: How many pass, counted with repetition.
        features: Pictures per second at `side`; the time of one grows with its area.
        seconds: What all may take.
    """
    smaller = range(side - side % STEP, SMALLEST - 1, -STEP)
    fits = (r for r in (side, *smaller) if pictures / features * (r / side) ** 2 <= seconds)
    return next(fits, min(side, SMALLEST))


def after_trainings(test: int, speeds: Speeds, scale: float = 1.0) -> float:
    """Seconds that test, export and report take, once the last training is over.

    Test images are seen twice, the second time mirrored. `scale` is the share of the largest
    resolution's time that a picture takes.
    """
    rate = speeds.features and speeds.features / scale
    if rate is None and speeds.training is not None:
        rate = speeds.training * _FORWARD
    return LAST + (2 * test / rate if rate else 0.0)
