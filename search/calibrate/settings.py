"""The settings of a calibration's own search, and those that it recommends."""

import re
from pathlib import Path
from typing import Any

import tomli_w

from records.files import write_whole
from records.toml import without_none
from search.calibrate.calibration import Calibration, laid_over_all
from search.config import SearchConfig
from train_core.data.prepare import at_absolute_paths

_REPEATED = 4  # One trial with another seed for so many points.


def calibrating(asked: SearchConfig, points: int) -> SearchConfig:
    """The search that calibrates a planned one: random points, none of them pruned.

    Raises:
        ValueError: In one sentence, if the planned one cannot be calibrated.
    """
    if asked.data.folds not in (None, 1):
        raise ValueError(
            f"a calibration looks at single trainings, so folds must be 1, but got "
            f"{asked.data.folds}: leave it out of [data]"
        )
    repeats = max(2, points // _REPEATED)
    images = re.sub("[^A-Za-z0-9]+", "-", Path(asked.data.dataset).stem).strip("-") or "images"
    name = f"{(asked.study.name or images)[:80]}-calibration"
    study = {"name": name, "sampler": "random", "pruner": "none", "trial_timeout": None}
    changes = {
        "trials": points + repeats,
        "repeats": repeats,
        "budget": None,
        "probes": 0,
        "timeout": None,
        "report": False,
        "data": asked.data.model_copy(update={"folds": 1}),
        "study": asked.study.model_copy(update=study),
    }
    return asked.model_copy(update=changes)


def recommended(asked: SearchConfig, found: Calibration) -> dict[str, Any]:
    """The tables of the planned search with what the calibration recommends."""
    settings = found.settings()
    if asked.study.sampler in ("gp", "cmaes"):  # They go with no pruner.
        settings["study"] = {"pruner": "none"}
    kept = asked.model_copy(update={"data": at_absolute_paths(asked.data)})
    return laid_over_all(without_none(kept.model_dump(exclude_defaults=True)), settings)


def write_settings(asked: SearchConfig, found: Calibration, path: Path) -> None:
    """Write them as TOML that `--config` takes."""
    about = (
        f"# Recommended by python -m search.calibrate from {found.points} points; take it with\n"
        f"# python -m search.run --config {path.name}\n\n"
    )
    write_whole(path, about + tomli_w.dumps(recommended(asked, found)))
