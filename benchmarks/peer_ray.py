"""A search by Ray Tune with ASHA, as its own examples for PyTorch do it.

`python -m benchmarks.peer_ray FOLDER`, with a job of `benchmarks.peers` in the folder, by an
interpreter that has Ray and the project's dependencies.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.basic_variant import BasicVariantGenerator

from benchmarks.peer_job import Answer, Job, Trial
from benchmarks.peer_training import UsualTraining, test_accuracy
from space import Choice, Float, Parameter

_WEIGHTS = "weights.pt"


def main(folder: str) -> None:
    """Search, test the best trial's weights once, and leave the answer."""
    job = Job.read(folder)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_train, job=job), {"cpu": job.cpus}),
        param_space={name: _domain(p) for name, p in job.space.parameters.items()},
        tune_config=_settings(job),
        run_config=tune.RunConfig(storage_path=str(Path(folder) / "ray"), verbose=1),
    )
    found = tuner.fit()
    # Only those that were trained to the end have weights to test.
    best = max((r for r in found if r.checkpoint), key=lambda r: r.metrics["accuracy"])
    with best.checkpoint.as_directory() as saved:
        weights = torch.load(Path(saved) / _WEIGHTS)
    test = test_accuracy(job, job.config(best.config), weights)
    trials = [_trial(result, job) for result in found]
    Answer(description=_description(job), trials=trials, test=test).write(folder)


def _settings(job: Job) -> Any:
    asha = ASHAScheduler(max_t=job.training.epochs, grace_period=1, reduction_factor=2)
    return tune.TuneConfig(
        metric="accuracy",
        mode="max",
        num_samples=job.trials,
        search_alg=BasicVariantGenerator(list(job.points) or None, random_state=job.seed),
        scheduler=asha if job.prune else None,
    )


def _domain(parameter: Parameter) -> Any:
    if isinstance(parameter, Choice):
        return tune.choice(parameter.choices)
    if isinstance(parameter, Float):
        return (tune.loguniform if parameter.log else tune.uniform)(parameter.low, parameter.high)
    return tune.randint(parameter.low, parameter.high + 1)


def _train(point: dict[str, Any], job: Job) -> None:
    config = job.config(point)
    training = UsualTraining(config, job.images(), light=job.light)
    for epoch in range(1, config.epochs + 1):
        metrics = {"accuracy": training.epoch(), "ended": time.time()}
        if epoch < config.epochs:
            tune.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as saved:
            torch.save(training.network.state_dict(), Path(saved) / _WEIGHTS)
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(saved))


def _trial(result: Any, job: Job) -> Trial:
    metrics = result.metrics or {}
    epochs = metrics.get("training_iteration", 0)
    state = "complete" if epochs == job.training.epochs else "pruned"
    return Trial(
        state="failed" if result.error else state,
        accuracy=metrics.get("accuracy"),
        epochs=epochs,
        ended=metrics.get("ended", 0.0),
    )


def _description(job: Job) -> str:
    rule = "ASHA with a grace of 1" if job.prune else "no scheduler"
    at_once = max(1, (os.cpu_count() or 1) // job.cpus)
    return (
        f"Ray Tune {ray.__version__}, torch {torch.__version__}, usual loop, random search, "
        f"{rule}, {at_once} at a time with {job.cpus} CPU each"
    )


if __name__ == "__main__":
    main(sys.argv[1])
