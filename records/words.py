"""Numbers as people read them."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, get_args

Objective = Literal["accuracy", "balanced_accuracy", "macro_f1", "log_loss"]
"""What a search maximises on images that a training has not learned, in [0, 1]: the share that is
right; recall or F1, every class with images counting alike; or `likelihood`, the geometric mean
of the probabilities of the true classes, which is exp(-log loss) and rises as the log loss falls.
"""

OBJECTIVES: Mapping[str, str] = dict(
    zip(
        get_args(Objective),
        ("accuracy", "balanced accuracy", "macro F1", "likelihood"),
        strict=True,
    )
)
"""The same for people."""

Cost = Literal["parameters", "latency", "train_seconds"]
"""What a search can keep low beside: weights of the network; seconds that the exported ONNX model
takes for one picture on one thread; seconds of the trial's training steps."""

COSTS: Mapping[str, str] = {
    "parameters": "parameters",
    "latency": "latency",
    "train_seconds": "training time",
}
"""The same for people."""


def writable(text: str) -> str:
    """The text as UTF-8 can hold it: bytes of a file's name that are no text are escaped."""
    return text.encode(errors="backslashreplace").decode()


def percent(share: float | None, digits: int = 2) -> str:
    """A share as a percentage; a dash for None."""
    return "-" if share is None else f"{share:.{digits}%}"


def score(value: float | None, objective: str = "accuracy") -> str:
    """A result of what was maximised."""
    if value is None or objective != "log_loss":
        return percent(value)
    return f"{percent(value)} (log loss {-math.log(max(value, 1e-12)):.4f})"


def cost(name: str, value: float) -> str:
    """A cost with its unit."""
    match name:
        case "parameters":
            return f"{value:,.0f} parameters"
        case "latency":
            return f"{value * 1000:.3g} ms per picture"
        case _:
            return f"{value:.3g} s of training"


def costs(of_one: Mapping[str, float]) -> str:
    """All costs of something, on one line."""
    return ", ".join(cost(name, value) for name, value in of_one.items())


def points(share: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    # Adding zero turns -0.0 into 0.0.
    return "-" if share is None else f"{round(share * 100, 2) + 0.0:+.2f} points"


def value(value: object) -> str:
    """A parameter's value."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def values(params: Mapping[str, object]) -> str:
    """Parameters with their values, on one line."""
    return ", ".join(f"{name} {value(given)}" for name, given in params.items())


METHODS = {"probe": "probe", "fine_tune": "fine-tuning"}  # As people read them; full has no word.


def of_method(method: str) -> str:
    """What a training is, after its name, where a study may have several kinds: ", a probe"."""
    return f", a {METHODS[method]}" if method in METHODS else ""


def network_of(training: Mapping[str, Any]) -> str:
    """The network of a training by its keys; not every network has a width and a depth."""
    width, depth = training.get("width"), training.get("depth")
    sizes = "" if width is None else f" of width {width} and depth {depth}"
    begun = {
        "probe": ", of which the last layer alone was trained,",
        "fine_tune": ", fine-tuned after its last layer,",
    }
    return f"{training.get('network')}{sizes}{begun.get(str(training.get('method')), '')}"


def count(number: float | None) -> str:
    """A whole number with separators."""
    return "-" if number is None else f"{number:,.0f}"


def storage(size: float) -> str:
    """Bytes, as "3.9 GB" or "12 MB"."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def duration(seconds: float | None) -> str:
    """A time in the two units that matter, as "40 s", "3 min 20 s", "5 h 7 min", "2 d 1 h"."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def moment(when: datetime) -> str:
    """A date and a time, with the zone."""
    return when.strftime("%Y-%m-%d %H:%M %Z")
