"""What every contestant of `benchmarks.peers` is asked to do, and what it answers.

Both are JSON files in one folder, since contestants are processes, perhaps of another interpreter.
"""

from pathlib import Path
from typing import Literal, Self

import optuna
from optuna.trial import TrialState
from pydantic import BaseModel, ConfigDict

from space import Space, Value, load_space
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData
from train_core.device import pick_device
from train_core.images import ImageData, load_training_data

_JOB, _ANSWER = "job.json", "answer.json"

State = Literal["complete", "pruned", "failed"]

_STATES: dict[TrialState, State] = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}


class Job(BaseModel):
    """One search.

    Attributes:
        folder: Where it writes, and where its answer is looked for.
        data: Which images, split how.
        prepared: The same images, decoded.
        training: What all trials share; with `sgd`, so that the space has a learning rate for it.
        trials: How many.
        prune: Whether trials that fall behind are stopped, by the rule that is usual there.
        light: Whether a crop and a flip are all the augmentation.
        cpus: What Ray gives to each trial.
        seed: Of the search.
        points: Parameters of the first trials; those that are missing are sampled.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: str
    data: DataConfig
    prepared: PreparedData
    training: TrainConfig
    trials: int
    prune: bool
    light: bool
    cpus: int
    seed: int
    points: tuple[dict[str, Value], ...] = ()

    @classmethod
    def read(cls, folder: str) -> Self:
        """The job that waits in a folder."""
        return cls.model_validate_json((Path(folder) / _JOB).read_text(encoding="utf-8"))

    def write(self) -> None:
        """Put it into its folder."""
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        (Path(self.folder) / _JOB).write_text(self.model_dump_json(indent=1), encoding="utf-8")

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
    """How one trial ended."""

    state: State
    accuracy: float | None
    """The last validation accuracy."""

    epochs: int
    ended: float
    """In seconds since 1970."""


class Answer(BaseModel):
    """What a contestant found, with all its trials."""

    description: str
    trials: list[Trial]
    test: float | None
    """Test accuracy of what it would hand over."""

    @classmethod
    def read(cls, folder: str) -> Self:
        """The answer that was left in a folder."""
        return cls.model_validate_json((Path(folder) / _ANSWER).read_text(encoding="utf-8"))

    def write(self, folder: str) -> None:
        """Leave it in a folder."""
        (Path(folder) / _ANSWER).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @property
    def epochs(self) -> int:
        """Trained in all trials together."""
        return sum(trial.epochs for trial in self.trials)

    @property
    def ended(self) -> float:
        """When the last trial did, in seconds since 1970."""
        return max(trial.ended for trial in self.trials)

    def count(self, state: State) -> int:
        """How many trials ended like this."""
        return sum(trial.state == state for trial in self.trials)

    def best(self, until: float = float("inf")) -> float | None:
        """The best accuracy of a complete trial that had ended by then."""
        done = (t for t in self.trials if t.state == "complete" and t.ended <= until)
        return max((t.accuracy for t in done if t.accuracy is not None), default=None)


def trials_of(study: optuna.Study) -> list[Trial]:
    """The trials that ended, whoever ran them."""
    return [
        Trial(
            state=_STATES.get(trial.state, "failed"),
            accuracy=trial.value,
            epochs=len(trial.intermediate_values),
            ended=trial.datetime_complete.timestamp(),
        )
        for trial in study.get_trials(deepcopy=False)
        if trial.datetime_complete is not None
    ]
