"""Temperature scaling: one number that makes probabilities mean what they say (Guo et al., 2017).

Label smoothing makes networks more accurate and too modest; predictions on images that took no
part in the training tell by how much. The test images are for measuring only, and the exported
model is trained on the validation images too. What is left are the confirmations of the winner:
the same training with fresh seeds, on images without the validation part. They had a little less
to learn from than the exported model, so a threshold chosen on them errs to the careful side.

The last layer of the exported network is divided by the temperature, so that every format has it
and nothing that uses a model needs to know of it. The most probable class stays the same.
"""

import json
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from records.files import write_whole
from search.finalize.familiarity import Gap, gap
from search.plan import Plan
from train_core.config import TrainConfig

if TYPE_CHECKING:
    from train_core.engine import EnginePool


class HeldOut(NamedTuple):
    """Predictions of the winner's confirmations on the validation images."""

    labels: np.ndarray  # `(N,)` int64.
    probabilities: np.ndarray  # `(confirmations, N, classes)` float32.


def keep_predictions(plan: Plan, trial: int, config: TrainConfig, engines: "EnginePool") -> None:
    """Write what a confirmation of a trial predicts on the validation images, and how far off
    they are.

    Its training has just ended: the weights are still in its engine.
    """
    from train_core.model import probabilities

    data = engines.data
    if data.validation is None:
        return
    engine = engines.engine(config)
    predicted = probabilities(engine.average, data.validation.images, engine.normalisation)
    distances = gap(engine.average, data, engine.normalisation)
    content = BytesIO()
    np.savez_compressed(
        content,
        config=np.array(config.model_dump_json()),
        labels=data.validation.labels.cpu().numpy(),
        probabilities=predicted.cpu().numpy(),
        learned_distances=distances.learned,
        held_out_distances=distances.held_out,
    )
    write_whole(_path(plan, trial, config), content.getvalue())


def kept_predictions(plan: Plan, trial: int, configs: list[TrainConfig]) -> HeldOut | None:
    """What a trial's confirmations, given by their trainings, predicted, as far as it is here.

    None if there is nothing: all of them diverged, or ran on other machines or an older version.
    """
    labels, kept = None, []
    for file in _kept(plan, trial, configs):
        labels = file["labels"]
        kept.append(file["probabilities"].astype(np.float32))
    return None if labels is None else HeldOut(labels, np.stack(kept))


def kept_gaps(plan: Plan, trial: int, configs: list[TrainConfig]) -> list[Gap]:
    """How far these confirmations found the validation images; nothing of earlier versions."""
    return [
        Gap(file["learned_distances"], file["held_out_distances"])
        for file in _kept(plan, trial, configs)
        if "learned_distances" in file
    ]


def _kept(
    plan: Plan, trial: int, configs: list[TrainConfig]
) -> Iterator[Mapping[str, np.ndarray]]:
    for config in configs:
        if not (path := _path(plan, trial, config)).exists():
            continue
        with np.load(path) as file:
            # Otherwise it is of another training: a study of the same name that is gone.
            # The weights that it began with may have moved since: their hash stays.
            known = {**json.loads(str(file["config"])), "weights": config.weights}
            if known == config.model_dump():
                yield file


def calibrated(held_out: HeldOut | None) -> tuple[float, HeldOut | None]:
    """The temperature for these predictions, and they at it; 1 where there are none."""
    if held_out is None:
        return 1.0, None
    temperature = temperature_for(*held_out)
    scaled = at_temperature(held_out.probabilities, temperature)
    return temperature, held_out._replace(probabilities=scaled)


def temperature_for(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """The temperature that makes the true classes most likely.

    One more picture is counted whose class is anybody's guess: otherwise a few predictions that
    are all right would ask for boundless confidence. Shapes are those of `HeldOut`.

    Returns:
        0.05 to 20: below 1 where the probabilities are too modest, above where they are too sure.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    right = np.tile(labels, len(probabilities))[:, None]
    logs = _logs(probabilities).reshape(len(right), -1)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logs / np.exp(log_temperature), -1)
        return -float(np.take_along_axis(scaled, right, 1).sum() + scaled.mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(best.x))


def at_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """The same probabilities `(..., classes)`, had the logits been divided by a temperature."""
    from scipy.special import log_softmax

    scaled = np.exp(log_softmax(_logs(probabilities) / temperature, -1))
    return np.asarray(scaled, probabilities.dtype)


def _logs(probabilities: np.ndarray) -> np.ndarray:
    """In place of the logits, from which they differ by a constant per picture."""
    return np.asarray(np.log(np.maximum(probabilities.astype(np.float64), 1e-12)))


def _path(plan: Plan, trial: int, config: TrainConfig) -> Path:
    return plan.folder / "confirmations" / f"trial-{trial}-seed-{config.seed}.npz"
