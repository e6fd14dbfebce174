"""Final training on all training images, then the one evaluation on the test set."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from records.outcome import Cause, EpochRecord, Outcome, State
from search.finalize.confirm import Candidate, confirmation_config
from search.finalize.held_out import predictions
from search.plan import Plan, final_data
from search.workers.checkpoints import checkpoint_of_final
from search.workers.event_files import event_files_of_final
from search.workers.events import Began, Ended, EpochEnded, Event, Warned
from search.workers.worker import Worker
from studies.attributes import TEST_EVALUATIONS
from studies.sampler import seed_for
from studies.study import find
from train_core.config import TrainConfig
from train_core.errors import Diverged
from train_core.run_config import RunConfig

if TYPE_CHECKING:
    import numpy as np

    from train_core.checkpoint import Checkpoint
    from train_core.engine import EnginePool

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
        from search.export.final import evaluate, export_best
        from search.export.pictures import augmented_pictures
        from search.finalize.calibrate import calibrated
        from train_core.weights import trained_model

        engines = worker.engines(self.plan.data, final_data(self.plan.config.data))
        trained = yield from self._train(engines, worker)
        if trained is None:
            return None
        config, history = trained
        model = trained_model(engines.engine(config))
        run = RunConfig(data=final_data(self.plan.config.data), training=config)
        temperature, held_out = calibrated(self._held_out())
        model.network.divide_logits(temperature)
        looks = self._count_look()
        tested = evaluate(model, self.plan.data, worker.device)
        facts = self._facts(history, looks)
        facts |= {"temperature": temperature, "held_out": held_out}
        facts["augmented"] = augmented_pictures(engines.data, config.augment)
        return export_best(self.folder, run, model, tested, facts)

    def _train(
        self, engines: "EnginePool", worker: Worker
    ) -> Generator[Event, None, tuple[TrainConfig, list[EpochRecord]] | None]:
        """Train; with the next seed, should one diverge."""
        for attempt in range(_ATTEMPTS):
            config = self._config(attempt)
            yield Began(_JOB, config.describe(), config.epochs)
            checkpoint = checkpoint_of_final(self.plan, attempt)
            try:
                history = yield from self._epochs(config, engines, worker, checkpoint)
            except Diverged as stopped:
                failed = Outcome(State.FAILED, cause=Cause.DIVERGED, reason=str(stopped))
                yield Ended(_JOB, failed)
                continue
            if history is None:
                return None
            yield Ended(_JOB, Outcome(State.COMPLETE, tuple(history)))
            return config, history
        raise RuntimeError(f"the final training did not succeed with any of {_ATTEMPTS} seeds")

    def _epochs(
        self, config: TrainConfig, engines: "EnginePool", worker: Worker, checkpoint: "Checkpoint"
    ) -> Generator[Event, None, list[EpochRecord] | None]:
        """All epochs; None when the session is stopping."""
        from train_core.fit import fit

        history: list[EpochRecord] = []
        with event_files_of_final(self.plan) as event_files:
            for record in event_files.follow(fit(config, engines.data, engines, checkpoint)):
                history.append(record)
                yield EpochEnded(_JOB, record.epoch, None, record.images_per_second)
                worker.share_cores()
                if worker.stopping:
                    checkpoint.write()
                    return None
            event_files.end(self.winner.trial.params, None)
        if event_files.trouble:
            yield Warned(event_files.trouble)
        return history

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

    def _held_out(self) -> "dict[str, np.ndarray] | None":
        """What the winner's confirmations said of the validation images."""
        trial, seeds = self.winner.trial, range(self.plan.config.confirm.seeds)
        configs = [confirmation_config(self.plan, trial, seed) for seed in seeds]
        return predictions(self.plan, trial.number, configs)
