"""A search by Optuna alone, as its own examples for PyTorch do it.

`python -m benchmarks.peer_optuna FOLDER`, with a job of `benchmarks.peers` in the folder.
"""

import sys
from pathlib import Path

import optuna
import torch

from benchmarks.peer_job import Answer, Job, trials_of
from benchmarks.peer_training import UsualTraining, test_accuracy
from train_core.images import ImageData


def main(folder: str) -> None:
    """Search, test the best trial's weights once, and leave the answer."""
    job = Job.read(folder)
    data = job.images()
    pruner = optuna.pruners.MedianPruner() if job.prune else optuna.pruners.NopPruner()
    study = optuna.create_study(
        direction="maximize",
        storage=f"sqlite:///{Path(folder) / 'study.db'}",
        sampler=optuna.samplers.TPESampler(seed=job.seed),
        pruner=pruner,
    )
    for point in job.points:
        study.enqueue_trial(point)
    study.optimize(lambda trial: _objective(trial, job, data), n_trials=job.trials)
    best = study.best_trial
    config = job.config(job.space.sample(optuna.trial.FixedTrial(best.params), {}))
    test = test_accuracy(job, config, torch.load(_weights(job, best.number)))
    rule = f"{type(pruner).__name__}()"
    description = f"Optuna {optuna.__version__}, usual loop, TPESampler(), {rule}, SQLite"
    Answer(description=description, trials=trials_of(study), test=test).write(folder)


def _objective(trial: optuna.Trial, job: Job, data: ImageData) -> float:
    config = job.config(job.space.sample(trial, {}))
    training, accuracy = UsualTraining(config, data, light=job.light), 0.0
    for epoch in range(config.epochs):
        accuracy = training.epoch()
        trial.report(accuracy, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    torch.save(training.network.state_dict(), _weights(job, trial.number))
    return accuracy


def _weights(job: Job, number: int) -> Path:
    return Path(job.folder) / f"trial-{number}.pt"


if __name__ == "__main__":
    main(sys.argv[1])
