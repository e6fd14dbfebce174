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
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from records.files import write_whole
from search.finalize.familiarity import Gap, gap, gap_between
from search.plan import Plan
from train_core.config import TrainConfig

if TYPE_CHECKING:
    from train_core.engine import Folds


class HeldOut(NamedTuple):
    """Predictions of the winner's confirmations on images that they had not learned."""

    labels: np.ndarray  # `(N,)` int64.
    probabilities: np.ndarray  # `(confirmations, N, classes)` float32.
    rows: np.ndarray | None = None  # `(N,)` int64, of the training part; None = not known.

    def as_arrays(self) -> dict[str, np.ndarray]:
        """The content of `validation.npz`."""
        return {"labels": self.labels, "probabilities": self.probabilities}


def keep_predictions(
    plan: Plan, trial: int, config: TrainConfig, folds: "Folds", fold: int
) -> None:
    """Write what a confirmation of a trial predicts on the images that are held out in a fold,
    from 1, and how far off they are.

    Its training has just ended: the weights are still in its engine.
    """
    from train_core.engine import known_features
    from train_core.model import probabilities

    pool = folds.pools[fold - 1]
    data, engine = pool.data, pool.engine(config)
    if data.validation is None:
        return
    if (known := known_features(config, data)) is not None:
        # What a probe made its answers from, without a pass over the images.
        learned, new = known
        predicted = engine.average.logits(new).softmax(1)
        distances = gap_between(learned, new)
    else:
        predicted = probabilities(engine.average, data.validation.images, engine.normalisation)
        distances = gap(engine.average, data, engine.normalisation)
    content = BytesIO()
    np.savez_compressed(
        content,
        config=np.array(config.model_dump_json()),
        rows=folds.held_out[fold - 1],
        labels=data.validation.labels.cpu().numpy(),
        probabilities=predicted.cpu().numpy(),
        learned_distances=distances.learned,
        held_out_distances=distances.held_out,
    )
    write_whole(_paths(plan, trial, config)[fold - 1], content.getvalue())


def kept_predictions(plan: Plan, trial: int, configs: list[TrainConfig]) -> HeldOut | None:
    """What a trial's confirmations, given by their trainings, predicted, as far as it is here.

    None if there is nothing: all of them diverged, or ran on other machines or an older version.
    """
    kept = [_joined(files) for files in _kept(plan, trial, configs)]
    if not kept:
        return None
    known = [one.rows for one in kept if one.rows is not None]
    if len(known) < len(kept):
        return HeldOut(kept[0].labels, np.concatenate([one.probabilities for one in kept]))
    # Other folds may never hold out the same few images, for the sake of their groups.
    rows = reduce(np.intersect1d, known)
    common = [np.isin(of_one, rows) for of_one in known]
    said = [one.probabilities[:, these] for one, these in zip(kept, common, strict=True)]
    return HeldOut(kept[0].labels[common[0]], np.concatenate(said), rows)


def _joined(files: Sequence[Mapping[str, np.ndarray]]) -> HeldOut:
    """What one confirmation said, of all its folds, by row."""
    labels = np.concatenate([file["labels"] for file in files])
    said = np.concatenate([file["probabilities"] for file in files]).astype(np.float32)
    if any("rows" not in file for file in files):  # Of an earlier version.
        return HeldOut(labels, said[None])
    rows = np.concatenate([file["rows"] for file in files])
    order = np.argsort(rows)
    return HeldOut(labels[order], said[None, order], rows[order])


def kept_gaps(plan: Plan, trial: int, configs: list[TrainConfig]) -> list[Gap]:
    """How far these confirmations, every fold of them by itself, found images that they had not
    learned; nothing of earlier versions."""
    return [
        Gap(file["learned_distances"], file["held_out_distances"])
        for files in _kept(plan, trial, configs)
        for file in files
        if "learned_distances" in file
    ]


def _kept(
    plan: Plan, trial: int, configs: list[TrainConfig]
) -> Iterator[list[dict[str, np.ndarray]]]:
    """The files of every confirmation that has all of its folds."""
    for config in configs:
        found = [_read(path, config) for path in _paths(plan, trial, config)]
        files = [file for file in found if file is not None]
        if len(files) == len(found):
            yield files


def _read(path: Path, config: TrainConfig) -> dict[str, np.ndarray] | None:
    """What was kept of this training; None if nothing."""
    if not path.exists():
        return None
    with np.load(path) as file:
        # Otherwise it is of another training: a study of the same name that is gone.
        # The weights that it began with may have moved since: their hash stays.
        known = {**json.loads(str(file["config"])), "weights": config.weights}
        return dict(file) if known == config.model_dump() else None


def calibrated(held_out: HeldOut | None) -> tuple[float, HeldOut | None]:
    """The temperature for these predictions, and they at it; 1 where there are none."""
    if held_out is None:
        return 1.0, None
    temperature = temperature_for(held_out.labels, held_out.probabilities)
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


def _paths(plan: Plan, trial: int, config: TrainConfig) -> list[Path]:
    """One file for every fold."""
    begin, folder = f"trial-{trial}-seed-{config.seed}", plan.folder / "confirmations"
    if plan.folds == 1:
        return [folder / f"{begin}.npz"]
    return [folder / f"{begin}-fold-{fold}.npz" for fold in range(1, plan.folds + 1)]
