"""Final training on all training images, then the one evaluation on the test set."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from records.machine import versions
from records.metrics import (
    Calibration,
    DataFacts,
    Metrics,
    SearchFacts,
    Validated,
)
from records.outcome import EpochRecord, Outcome, State, columns
from records.statistics import calibration_error
from search.finalize.calibrate import HeldOut, at_temperature, calibrated, kept_predictions
from search.finalize.confirm import Candidate, confirmation_config, train
from search.plan import Plan, final_data
from search.workers.events import Event, Warned
from search.workers.training_files import checkpoint_of_final, event_files_of_final
from search.workers.worker import Worker
from studies.algorithms import seed_for
from studies.attributes import TEST_EVALUATIONS
from studies.study import find
from train_core.config import RunConfig, TrainConfig

if TYPE_CHECKING:
    from search.export.evaluation import Tested
    from train_core.engine import EnginePool
    from train_core.model import TrainedModel

_ATTEMPTS = 3
_JOB = "final training"
_DATA_FACTS = set(DataFacts.model_fields)


@dataclass(frozen=True)
class Finalize:
    """The task of training the winner for good, testing it once and exporting it.

    Attributes:
        plan: The search.
        winner: The confirmed winner.
        search: What the metrics say about the search; test evaluations are counted here.
        folder: Where the export goes.
    """

    plan: Plan
    winner: Candidate
    search: SearchFacts
    folder: Path

    def run(self, worker: Worker) -> Generator[Event, None, Metrics | None]:
        """Do it in this worker; returns the metrics, or None when the session is stopping."""
        from search.export.best import FinishedModel, export_best
        from search.export.evaluation import augmented_pictures, evaluate
        from train_core.device import device_name
        from train_core.model import trained_model

        data = final_data(self.plan.config.data)
        engines = worker.engines(self.plan.data, data)
        config, outcome = yield from self._train(engines, worker)
        if outcome.state == State.REQUEUED:
            return None
        model = trained_model(engines.engine(config))
        temperature, held_out = calibrated(self._held_out())
        model.network.divide_logits(temperature)
        evaluations = self._count_test_evaluation()
        tested = evaluate(model, self.plan.data, worker.device)
        metrics = self._metrics(config, outcome.history, model, tested, temperature).model_copy(
            update={
                "search": self.search.model_copy(update={"test_evaluations": evaluations}),
                "device": device_name(worker.device),
            }
        )
        finished = FinishedModel(
            run=RunConfig(data=data, training=config),
            model=model,
            tested=tested,
            metrics=metrics,
            augmented=augmented_pictures(engines.data, config.augment),
            held_out=held_out._asdict() if held_out else None,
        )
        return export_best(self.folder, finished)

    def _train(
        self, engines: "EnginePool", worker: Worker
    ) -> Generator[Event, None, tuple[TrainConfig, Outcome]]:
        """Train; with the next seed, should one diverge."""
        for attempt in range(_ATTEMPTS):
            config, checkpoint = self._config(attempt), checkpoint_of_final(self.plan, attempt)
            with event_files_of_final(self.plan) as files:
                outcome = yield from train(_JOB, config, engines, worker, checkpoint, files)
                if outcome.state == State.COMPLETE:
                    files.end(self.winner.trial.params, None)
            if files.trouble:
                yield Warned(files.trouble)
            if outcome.state != State.FAILED:
                return config, outcome
        raise RuntimeError(f"the final training did not succeed with any of {_ATTEMPTS} seeds")

    def _config(self, attempt: int) -> TrainConfig:
        """The winner's training with a fresh seed, and no early stop: nothing to validate on."""
        seed = seed_for(self.plan.config.study.seed, 4, attempt)
        assert self.winner.trial.config is not None
        return TrainConfig.model_validate(
            {**self.winner.trial.config, "seed": seed, "patience": 0}
        )

    def _count_test_evaluation(self) -> int:
        """Count before evaluating: whatever happens next, it is never counted too low."""
        with self.plan.place.lock():
            study = find(self.plan.place)
            count = int(study.user_attrs.get(TEST_EVALUATIONS, 0)) + 1
            study.set_user_attr(TEST_EVALUATIONS, count)
        return count

    def _held_out(self) -> HeldOut | None:
        """What the winner's confirmations predicted on the validation images."""
        trial, seeds = self.winner.trial, range(self.plan.config.confirm.seeds)
        configs = [confirmation_config(self.plan, trial, seed) for seed in seeds]
        return kept_predictions(self.plan, trial.number, configs)

    def _metrics(
        self,
        config: TrainConfig,
        history: tuple[EpochRecord, ...],
        model: "TrainedModel",
        tested: "Tested",
        temperature: float,
    ) -> Metrics:
        trial, data = self.winner.trial, self.plan.data
        assert trial.accuracy is not None
        unscaled = at_temperature(tested.probabilities, 1 / temperature)
        error_before = calibration_error(tested.labels, unscaled)
        return Metrics(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            search=self.search,
            trial=trial.number,
            params=trial.params,
            validation=Validated(accuracy=trial.accuracy, n=self.plan.validation_count),
            confirmed=self.winner.confirmed,
            test=tested.plain,
            test_tta=tested.mirrored,
            calibration=Calibration(temperature=temperature, error_before=error_before),
            selection_gap=self.winner.selection_gap,
            training=config.model_dump(),
            curves=columns(history),
            data=DataFacts.model_validate(data.model_dump(include=_DATA_FACTS)),
            parameters=sum(p.numel() for p in model.network.parameters()),
            versions=versions(),
        )
