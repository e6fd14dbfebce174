"""Final training on all training images, then the one evaluation on the test set."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.confirm import Candidate
from search.events import Began, Ended, EpochEnded, Event
from search.plan import Plan, final_data
from search.worker import Worker
from studies.sampler import seed_for
from studies.study import find
from train_core.config import TrainConfig
from train_core.errors import Diverged
from train_core.record import EpochRecord
from train_core.run_config import RunConfig

if TYPE_CHECKING:
    from train_core.engine import EnginePool

TEST_EVALUATIONS = "test_evaluations"
"""The study's attribute that counts the looks at the test set: an honest one has one."""

_ATTEMPTS = 3
_JOB = "final training"


@dataclass(frozen=True)
class Finalize:
    """The task of training the winner for good, testing it once and exporting it.

    Attributes:
        plan: The search.
        winner: The confirmed winner.
        search: Facts of the search for the metrics, JSON-able.
        folder: Where the export goes.
    """

    plan: Plan
    winner: Candidate
    search: dict[str, Any]
    folder: Path

    def run(self, worker: Worker) -> Generator[Event, None, dict[str, Any] | None]:
        """Do it in this worker; returns the metrics, or None when the session is stopping."""
        from search.export import evaluate, export_best
        from train_core.weights import trained_model

        engines = worker.engines(self.plan.data, final_data(self.plan.config.data))
        trained = yield from self._train(engines, worker)
        if trained is None:
            return None
        config, history = trained
        model = trained_model(engines.engine(config))
        run = RunConfig(data=final_data(self.plan.config.data), training=config)
        looks = self._count_look()
        tested = evaluate(model, self.plan.data, worker.device)
        return export_best(self.folder, run, model, tested, self._facts(history, looks))

    def _train(
        self, engines: "EnginePool", worker: Worker
    ) -> Generator[Event, None, tuple[TrainConfig, list[EpochRecord]] | None]:
        """Train; with the next seed, should one diverge."""
        from train_core.fit import fit

        for attempt in range(_ATTEMPTS):
            config = self._config(attempt)
            yield Began(_JOB, config.describe(), config.epochs)
            history: list[EpochRecord] = []
            try:
                for record in fit(config, engines.data, engines):
                    history.append(record)
                    yield EpochEnded(_JOB, record.epoch, None, record.images_per_second)
                    worker.share_cores()
                    if worker.stopping:
                        return None
            except Diverged as stopped:
                yield Ended(_JOB, "failed", None, str(stopped))
                continue
            yield Ended(_JOB, "complete", None)
            return config, history
        raise RuntimeError(f"the final training did not succeed with any of {_ATTEMPTS} seeds")

    def _config(self, attempt: int) -> TrainConfig:
        """The winner's training with a fresh seed, and no early stop: nothing to validate on."""
        seed = seed_for(self.plan.config.study.seed, 4, attempt)
        assert self.winner.trial.config is not None
        return TrainConfig.model_validate(
            {**self.winner.trial.config, "seed": seed, "patience": 0}
        )

    def _count_look(self) -> int:
        """Count before looking: whatever happens next, it is never counted too low."""
        with self.plan.place.lock():
            study = find(self.plan.place)
            looks = int(study.user_attrs.get(TEST_EVALUATIONS, 0)) + 1
            study.set_user_attr(TEST_EVALUATIONS, looks)
        return looks

    def _facts(self, history: list[EpochRecord], looks: int) -> dict[str, Any]:
        return {
            "search": {**self.search, "test_evaluations": looks},
            "trial": self.winner.trial,
            "confirmed": self.winner.confirmed,
            "history": history,
            "data": self.plan.data,
            "validation_count": self.plan.validation_count,
        }
