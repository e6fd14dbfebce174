"""The course of the learning rate, as pure functions of the step."""

import math

from train_core.config import Schedule

# Where the way up begins, as a share of the peak.
_START = {"triangle": 0.2, "one_cycle": 0.04, "cosine": 0.0}


def lr_table(schedule: Schedule, total: int, warmup: float, final: float) -> list[float]:
    """Learning rates of all steps of a training, in order, as shares of the peak in [0, 1].

    The peak is reached at step `warmup * total - 1`, or at step 0 without warm-up; the last step,
    `total - 1`, has exactly `final`. With `one_cycle`, a warm-up of 0.3 and `final` = 4e-6, this
    is `torch.optim.lr_scheduler.OneCycleLR` with its defaults.
    """
    peak, start = max(warmup * total - 1, 0.0), _START[schedule]

    def factor(step: int) -> float:
        if step < peak:
            way = step / peak
            return start + (1 - start) * (_half_cosine(way) if schedule == "one_cycle" else way)
        way = (step - peak) / max(total - 1 - peak, 1e-12) if total > 1 else 0.0
        return 1 + (final - 1) * (way if schedule == "triangle" else _half_cosine(way))

    return [factor(step) for step in range(total)]


def average_table(span: float, total: int) -> list[float]:
    """How much of the current weights each of all steps mixes into their average, in (0, 1].

    The average follows the weights closely at first, so that the early epochs are not judged by
    the initial weights, and settles at a span of `span * total` steps; without a span it is always
    the current weights.
    """
    steady = 1 / max(span * total, 1.0)
    return [max(steady, 9 / (10 + step)) if span else 1.0 for step in range(total)]


def _half_cosine(way: float) -> float:
    return (1 - math.cos(math.pi * way)) / 2
