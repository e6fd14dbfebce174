"""Temperature scaling: one number that makes probabilities mean what they say (Guo et al., 2017).

Label smoothing makes networks more accurate and too modest. What the winner's confirmations said
of the validation images, which they had not seen, tells by how much; the test images stay out of
it. The last layer of the exported network is divided by the temperature, so that every format has
it and nothing that uses a model needs to know of it. The most probable class stays the same.
"""

import numpy as np
from scipy.optimize import minimize_scalar

_LEAST = 1e-12


Answers = dict[str, np.ndarray]
"""`labels` `(N,)` int64 and `probabilities` `(confirmations, N, classes)` float32."""


def calibrated(held_out: Answers | None) -> tuple[float, Answers | None]:
    """The temperature for these answers, and the answers at it; 1 where there are none."""
    if held_out is None:
        return 1.0, None
    temperature = temperature_for(held_out["labels"], held_out["probabilities"])
    said = at_temperature(held_out["probabilities"], temperature)
    return temperature, {**held_out, "probabilities": said}


def temperature_for(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that makes the right answers most likely.

    One more picture is counted whose class is anybody's guess: otherwise a few answers that are
    all right would ask for boundless confidence.

    Args:
        labels: `(N,)` int.
        probabilities: `(answers, N, classes)`.

    Returns:
        0.05 to 20: below 1 where the probabilities are too modest, above where they are too sure.
    """
    right = np.tile(labels, len(probabilities))[:, None]
    logs = _logs(probabilities).reshape(len(right), -1)

    def surprise(log_temperature: float) -> float:
        scaled = _log_softmax(logs / np.exp(log_temperature))
        return -float(np.take_along_axis(scaled, right, 1).sum() + scaled.mean())

    best = minimize_scalar(surprise, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(best.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The same probabilities `(..., classes)`, had the logits been divided by a temperature."""
    scaled = np.exp(_log_softmax(_logs(probabilities) / temperature))
    said: np.ndarray = scaled.astype(probabilities.dtype)
    return said


def _logs(probabilities: np.ndarray) -> np.ndarray:
    """In place of the logits, from which they differ by a constant per picture."""
    logs: np.ndarray = np.log(np.maximum(probabilities.astype(np.float64), _LEAST))
    return logs


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    scaled: np.ndarray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return scaled
