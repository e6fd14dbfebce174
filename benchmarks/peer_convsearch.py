"""The same search by convsearch: its command, and its answer read from what the run left."""

import json
import sys
from pathlib import Path

import optuna

from benchmarks.peer_job import Answer, Job, trials_of
from records.toml import write_toml
from studies.storage import sqlite_url
from train_core.config import RecipeName, load_recipe
from train_core.device import pick_device, resolve_precision

_RECIPE: RecipeName = "cpu"
_NAME = "convsearch"


def command_for(job: Job) -> list[str]:
    """The command that does the job, with its config file written."""
    config = Path(job.folder) / "search.toml"
    tables = {
        "recipe": _RECIPE,
        "runs": str(Path(job.folder) / "runs"),
        "data": job.data.model_dump(exclude={"dataset"}, exclude_none=True),
        "training": {"epochs": job.training.epochs},
        "study": {"name": _NAME, "seed": job.seed, "pruner": "median" if job.prune else "none"},
    }
    write_toml(config, tables)
    flags = ["--dataset", job.data.dataset, "--trials", str(job.trials), "--config", str(config)]
    return [sys.executable, "-m", "search.run", *flags]


def answer_of(job: Job) -> Answer:
    """What the command left."""
    folder = Path(job.folder) / "runs" / _NAME
    trials = trials_of(_study(job))
    metrics = json.loads((folder / "best" / "metrics.json").read_text(encoding="utf-8"))
    kind = str(resolve_precision("auto", pick_device())).removeprefix("torch.")
    rule = "its median rule" if job.prune else "no pruner"
    description = f"python -m search.run, {load_recipe(_RECIPE).optimizer}, {kind}, TPE, {rule}"
    return Answer(description=description, trials=trials, test=metrics["test"]["accuracy"])


def points_of(job: Job) -> tuple[dict[str, bool | int | float | str], ...]:
    """What its trials had, in order, of the parameters that mean the same to all contestants."""
    common = job.space.parameters.keys() - {"lr"}
    trials = _study(job).get_trials(deepcopy=False)
    return tuple({n: v for n, v in t.params.items() if n in common} for t in trials)


def _study(job: Job) -> optuna.Study:
    storage = sqlite_url(Path(job.folder) / "runs" / _NAME)
    return optuna.load_study(study_name=_NAME, storage=storage)
