"""The searches of `benchmarks.peers` by others: by Optuna alone and by Ray Tune.

`main` is called with "optuna" or "ray" and a folder. `job.json` in the folder says what to do, and
`answer.json` what came of it: both are files, since the interpreter may be another one. Each is
written as the peer's own examples for PyTorch are: the usual loop in float32, SGD with a one-cycle
schedule, everything built anew for every trial.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import optuna
import torch
from pydantic import BaseModel, ConfigDict
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from benchmarks.usual_loop import Pictures, same_augmentation, to_tensor, usual_network, usual_step
from space import Choice, Float, Parameter, Space, Value, load_space
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData
from train_core.device import pick_device
from train_core.images import ImageData, Part, load_test_part, load_training_data
from train_core.networks.base import Classifier

_REFERENCE_BATCH = 1024
"""The batch size at which the space means its learning rates."""

_WEIGHTS = "weights.pt"


class Message(BaseModel):
    """A JSON file in the folder of one search, named after its class."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def read(cls, folder: str) -> Self:
        """The one that was left there."""
        path = Path(folder) / f"{cls.__name__.lower()}.json"
        return cls.model_validate_json(path.read_text(encoding="utf-8"))

    def write(self, folder: str) -> None:
        """Leave it there."""
        path = Path(folder) / f"{type(self).__name__.lower()}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=1), encoding="utf-8")


class Job(Message):
    """One search.

    Attributes:
        folder: Where it writes, and where its answer is looked for.
        data: Which images, split how.
        prepared: The same images, decoded.
        training: What all trials share; with `sgd`, so that the space has a learning rate for it.
        trials: How many.
        cpus: What Ray gives to each trial.
        seed: Of the search.
        points: Parameters of the first trials; those that are missing are sampled.
    """

    folder: str
    data: DataConfig
    prepared: PreparedData
    training: TrainConfig
    trials: int
    cpus: int
    seed: int
    points: tuple[dict[str, Value], ...] = ()

    @property
    def space(self) -> Space:
        """The default space's five parameters, with the learning rates meant for SGD."""
        return load_space("default").given({**self.training.model_dump(), "recipe": "cpu"})

    def config(self, point: dict[str, Value]) -> TrainConfig:
        """The training of one trial."""
        return TrainConfig.model_validate({**self.training.model_dump(), **point})

    def images(self) -> ImageData:
        """The images, in memory."""
        return load_training_data(self.prepared, self.data, pick_device())


class Trial(BaseModel):
    """How one trial ended: its last validation accuracy, and when, in seconds since 1970."""

    complete: bool
    accuracy: float | None
    epochs: int
    ended: float


class Answer(Message):
    """What a search found: its trials, and the test accuracy of what it would hand over."""

    description: str
    trials: list[Trial]
    test: float


class UsualTraining:
    """One trial: network, SGD with a one-cycle schedule, DataLoaders."""

    def __init__(self, config: TrainConfig, data: ImageData) -> None:
        """Build everything anew, as an objective does."""
        self.network, self._data = usual_network(config, data), data
        steps = same_augmentation(data, config.augment)
        self._train = _loader(data.train, steps, config.batch_size, training=True)
        lr = config.lr * config.batch_size / _REFERENCE_BATCH
        self._optimizer = torch.optim.SGD(
            self.network.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
        self._schedule = OneCycleLR(
            self._optimizer, lr, epochs=config.epochs, steps_per_epoch=len(self._train)
        )

    def epoch(self) -> float:
        """Train for one epoch, and return the validation accuracy after it."""
        self.network.train()
        device = self._data.device
        for images, labels in self._train:
            usual_step(self.network, self._optimizer, images.to(device), labels.to(device))
            self._schedule.step()
        assert self._data.validation is not None
        return _accuracy(self.network, self._data.validation, self._data)


def _test(job: Job, config: TrainConfig, weights: Path) -> float:
    """What the weights of a trial are worth on the test part."""
    data = job.images()
    network = usual_network(config, data)
    network.load_state_dict(torch.load(weights))
    return _accuracy(network, load_test_part(job.prepared, data.device), data)


@torch.no_grad()
def _accuracy(network: Classifier, part: Part, data: ImageData) -> float:
    network.eval()
    hits = 0
    for images, labels in _loader(part, to_tensor(data), 256, training=False):
        found = network(images.to(data.device)).argmax(1)
        hits += (found == labels.to(data.device)).sum().item()
    return hits / len(part)


def _loader(part: Part, steps: list[Any], batch: int, *, training: bool) -> DataLoader[Any]:
    # Dropping the last images makes as many steps as a trial of convsearch has; an epoch of less
    # than one batch, in a test of this benchmark, keeps them.
    drop = training and len(part) >= batch
    return DataLoader(
        Pictures(part, steps), batch, shuffle=training, num_workers=2, drop_last=drop
    )


def search_by_optuna(job: Job) -> Answer:
    """TPE without pruning, kept in SQLite."""
    data, folder = job.images(), Path(job.folder)

    def objective(trial: optuna.Trial) -> float:
        config = job.config(job.space.sample(trial, {}))
        training, accuracy = UsualTraining(config, data), 0.0
        for epoch in range(config.epochs):
            accuracy = training.epoch()
            trial.report(accuracy, epoch)
        torch.save(training.network.state_dict(), folder / f"{trial.number}-{_WEIGHTS}")
        return accuracy

    study = optuna.create_study(
        direction="maximize",
        storage=f"sqlite:///{folder / 'study.db'}",
        sampler=optuna.samplers.TPESampler(seed=job.seed),
        pruner=optuna.pruners.NopPruner(),
    )
    for point in job.points:
        study.enqueue_trial(point)
    study.optimize(objective, n_trials=job.trials)
    best = study.best_trial
    config = job.config(job.space.sample(optuna.trial.FixedTrial(best.params), {}))
    test = _test(job, config, folder / f"{best.number}-{_WEIGHTS}")
    description = f"Optuna {optuna.__version__}, usual loop, TPESampler(), SQLite"
    return Answer(description=description, trials=trials_of(study), test=test)


def trials_of(study: optuna.Study) -> list[Trial]:
    """The trials that ended, whoever ran them."""
    return [
        Trial(
            complete=trial.state == optuna.trial.TrialState.COMPLETE,
            accuracy=trial.value,
            epochs=len(trial.intermediate_values),
            ended=trial.datetime_complete.timestamp(),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.datetime_complete is not None
    ]


def search_by_ray(job: Job) -> Answer:
    """Random search without a scheduler, several trials at a time."""
    import ray
    from ray import tune
    from ray.tune.search.basic_variant import BasicVariantGenerator

    points = BasicVariantGenerator(list(job.points) or None, random_state=job.seed)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_train_on_ray, job=job), {"cpu": job.cpus}),
        param_space={name: _domain(p) for name, p in job.space.parameters.items()},
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=job.trials, search_alg=points
        ),
        run_config=tune.RunConfig(storage_path=str(Path(job.folder) / "ray"), verbose=1),
    )
    grid = tuner.fit()
    found: list[Any] = [grid[index] for index in range(len(grid))]
    # Only those that were trained to the end have weights to test.
    best = max((r for r in found if r.checkpoint), key=lambda r: r.metrics["accuracy"])
    with best.checkpoint.as_directory() as saved:
        test = _test(job, job.config(best.config), Path(saved) / _WEIGHTS)
    at_once = max(1, (os.cpu_count() or 1) // job.cpus)
    description = (
        f"Ray Tune {ray.__version__}, torch {torch.__version__}, usual loop, random search, "
        f"{at_once} at a time with {job.cpus} CPU each"
    )
    return Answer(description=description, trials=[_ray_trial(r) for r in found], test=test)


def _train_on_ray(point: dict[str, Any], job: Job) -> None:
    from ray import tune

    config = job.config(point)
    training = UsualTraining(config, job.images())
    for epoch in range(1, config.epochs + 1):
        metrics = {"accuracy": training.epoch(), "ended": time.time()}
        if epoch < config.epochs:
            tune.report(metrics)
            continue
        with tempfile.TemporaryDirectory() as saved:
            torch.save(training.network.state_dict(), Path(saved) / _WEIGHTS)
            tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(saved))


def _domain(parameter: Parameter) -> Any:
    from ray import tune

    if isinstance(parameter, Choice):
        return tune.choice(parameter.choices)
    if isinstance(parameter, Float):
        return (tune.loguniform if parameter.log else tune.uniform)(parameter.low, parameter.high)
    return tune.randint(parameter.low, parameter.high + 1)


def _ray_trial(result: Any) -> Trial:
    metrics = result.metrics or {}
    return Trial(
        complete=not result.error,
        accuracy=metrics.get("accuracy"),
        epochs=metrics.get("training_iteration", 0),
        ended=metrics.get("ended", 0.0),
    )


def main() -> None:
    """Search as the arguments say, and leave the answer."""
    search = {"optuna": search_by_optuna, "ray": search_by_ray}[sys.argv[1]]
    search(Job.read(sys.argv[2])).write(sys.argv[2])
