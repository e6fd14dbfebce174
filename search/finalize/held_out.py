"""What the confirmations said of the validation images, kept for choosing thresholds.

The exported model is trained on the validation images too, so what it says of them is too good;
the test images are for measuring only. What is left are the confirmations of the winner: the same
training with fresh seeds, on images that it did not see. They had a little less to learn from than
the exported model, so a threshold chosen on them errs to the careful side.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from search.plan import Plan
from train_core.config import TrainConfig

if TYPE_CHECKING:
    from train_core.engine import EnginePool

_FOLDER = "confirmations"


def keep_predictions(plan: Plan, trial: int, config: TrainConfig, engines: "EnginePool") -> None:
    """Write what a confirmation says, when its training has ended.

    Args:
        plan: The search.
        trial: Number of the trial that is confirmed.
        config: The confirmation's training, whose weights are still in its engine.
        engines: The worker's, with the images.
    """
    from train_core.model import probabilities

    data = engines.data
    if data.validation is None:
        return
    network = engines.engine(config).average
    said = probabilities(network, data.validation.images, data.normalisation)
    path = _path(plan, trial, config)
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".part")
    with scratch.open("wb") as file:
        np.savez_compressed(
            file,
            config=np.array(config.model_dump_json()),
            labels=data.validation.labels.cpu().numpy(),
            probabilities=said.cpu().numpy(),
        )
    scratch.replace(path)


def predictions(
    plan: Plan, trial: int, configs: list[TrainConfig]
) -> dict[str, np.ndarray] | None:
    """What the confirmations of one trial said, as far as this machine has it.

    Args:
        plan: The search.
        trial: The trial's number.
        configs: Its confirmations' trainings.

    Returns:
        `labels` `(N,)` int64 and `probabilities` `(confirmations, N, classes)` float32; None if
        there is nothing: all of them diverged, or ran on other machines or an older version.
    """
    paths = [(_path(plan, trial, config), config.model_dump_json()) for config in configs]
    found = [_read(path, wanted) for path, wanted in paths if path.exists()]
    kept = [one for one in found if one is not None]
    if not kept:
        return None
    return {"labels": kept[0][0], "probabilities": np.stack([said for _, said in kept])}


def _read(path: Path, wanted: str) -> tuple[np.ndarray, np.ndarray] | None:
    """None if it is of another training: a study of the same name that is gone."""
    with np.load(path) as file:
        if str(file["config"]) != wanted:
            return None
        return file["labels"], file["probabilities"].astype(np.float32)


def _path(plan: Plan, trial: int, config: TrainConfig) -> Path:
    return plan.folder / _FOLDER / f"trial-{trial}-seed-{config.seed}.npz"
