"""Final training on all training images, the one evaluation on the test set, the export."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from records.evaluation import Calibration
from records.files import write_whole
from records.machine import versions
from records.metrics import DataFacts, Metrics, SearchFacts, Validated
from records.outcome import Outcome, State, columns
from records.statistics import Spread, calibration_error
from records.toml import write_toml
from records.trial import TrialRecord
from records.words import Objective
from search.export.card import describe
from search.finalize.calibrate import (
    HeldOut,
    at_temperature,
    calibrated,
    kept_gaps,
    kept_predictions,
)
from search.finalize.confirm import Candidate, confirmation_config, train
from search.finalize.familiarity import NO_GAPS, Gap, beyond, familiarity
from search.finalize.predictions import name_pictures
from search.plan import Plan
from search.workers.events import Event, Warned
from search.workers.training_files import checkpoint_of_final, event_files_of
from search.workers.worker import Worker
from studies.algorithms import seed_for
from studies.attributes import TEST_EVALUATIONS
from studies.study import find
from train_core.config import TrainConfig
from train_core.networks.weights.files import find_weights
from train_core.recipes import RunConfig

if TYPE_CHECKING:
    from search.export.evaluation import Tested
    from train_core.engine import EnginePool, Folds
    from train_core.images.off_device import Images
    from train_core.model import TrainedModel

_ATTEMPTS = 3
_COMPARED = 512  # Test images on which ONNX and PyTorch are compared.


@dataclass(frozen=True)
class Finalize:
    """The task of training the winner for good, testing it once and exporting it to a folder."""

    plan: Plan
    winner: Candidate
    search: SearchFacts  # What the metrics say of the search; test evaluations are counted here.
    folder: Path

    def run(self, worker: Worker) -> Generator[Event, None, Metrics | None]:
        """Do it in this worker; returns the metrics, or None when the session is stopping."""
        from search.export.evaluation import augmented_pictures, evaluate
        from train_core.device import device_name
        from train_core.model import trained_model

        # The same images, with the validation part given to the training.
        data = self.plan.config.data.model_copy(update={"train_on_validation": True})
        folds = worker.folds(self.plan.data, data)
        config, outcome = yield from self._train(folds, worker)
        if outcome.state == State.REQUEUED:
            return None
        engines = folds.pools[0]
        model = trained_model(engines.engine(config))
        held_out, gaps = self._kept()
        temperature, held_out = calibrated(held_out)
        model.network.divide_logits(temperature)
        # Counted first: whatever happens next, it is never counted too low.
        facts = self.search.model_copy(update={"test_evaluations": self._count_evaluation()})
        tested = evaluate(model, self.plan.data, worker.device, worker.slot.images)
        metrics = self._metrics(config, outcome, model, tested, temperature).model_copy(
            update={"search": facts, "device": device_name(worker.device)}
        )
        augmented = augmented_pictures(engines.data, config.augment, config.resolution)
        answers = name_pictures(self.plan, tested, held_out)
        files: dict[str, Any] = {"predictions.csv": answers.table}
        files["evaluation.npz"] = {**answers.pictures, **augmented}
        if held_out is not None:
            files["validation.npz"] = held_out.as_arrays()
        if answers.label_errors is not None:
            metrics = metrics.model_copy(update={"label_errors": answers.label_errors})
        if gaps:
            files["familiarity.npz"] = known = _familiarity(config, engines, model, gaps)
            found = {"familiarity": beyond(model, known, tested.images)}
            metrics = metrics.model_copy(update=found)
        else:
            yield Warned(NO_GAPS)
        named = data.model_copy(update={"content": self.plan.data.content})
        run = RunConfig(data=named, training=config)
        return _export(self.folder, run, model, tested.images, metrics, files)

    def _train(
        self, folds: "Folds", worker: Worker
    ) -> Generator[Event, None, tuple[TrainConfig, Outcome]]:
        """Train with a fresh seed, and with the next one, should it diverge."""
        assert self.winner.trial.config is not None
        for attempt in range(_ATTEMPTS):
            seed = seed_for(self.plan.config.study.seed, 4, attempt)
            # No early stop: there is nothing to validate on.
            config = self.plan.training_of(self.winner.trial.config, seed=seed, patience=0)
            checkpoint = checkpoint_of_final(self.plan, attempt)
            with event_files_of(self.plan) as files:
                outcome = yield from train(
                    "final training", config, folds, worker, checkpoint, files.follow
                )
                if outcome.state == State.COMPLETE:
                    files.end(self.winner.trial.params, None)
            if files.trouble:
                yield Warned(files.trouble)
            if outcome.state != State.FAILED:
                return config, outcome
        raise RuntimeError(f"the final training did not succeed with any of {_ATTEMPTS} seeds")

    def _kept(self) -> tuple[HeldOut | None, list[Gap]]:
        """What the winner's confirmations said of images that they had not learned.

        Of those with further seeds, if there are any: the others are a little too good, since it
        was chosen for them.
        """
        trial, further = self.winner.trial, bool(self.winner.further)
        seeds = range(len(self.winner.further or self.winner.accuracies))
        configs = [confirmation_config(self.plan, trial, s, further=further) for s in seeds]
        held_out = kept_predictions(self.plan, trial.number, configs)
        return held_out, kept_gaps(self.plan, trial.number, configs)

    def _count_evaluation(self) -> int:
        with self.plan.place.lock():
            study = find(self.plan.place)
            evaluations = int(study.user_attrs.get(TEST_EVALUATIONS, 0)) + 1
            study.set_user_attr(TEST_EVALUATIONS, evaluations)
        return evaluations

    def _metrics(
        self,
        config: TrainConfig,
        outcome: Outcome,
        model: "TrainedModel",
        tested: "Tested",
        temperature: float,
    ) -> Metrics:
        trial = self.winner.trial
        facts = self.plan.data.model_dump(include=set(DataFacts.model_fields))
        unscaled = at_temperature(tested.probabilities, 1 / temperature)
        error_before = calibration_error(tested.labels, unscaled)
        begun = find_weights(config.network, config.weights, config.weights_sha256)
        return Metrics(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            search=self.search,
            trial=trial.number,
            params=trial.params,
            validation=validated(trial, self.plan.validation_count),
            confirmed=self.winner.confirmed,
            test=tested.plain,
            test_tta=tested.mirrored,
            test_without_copies=tested.without_copies,
            calibration=Calibration(temperature=temperature, error_before=error_before),
            selection_gap=(self.search.best or self.winner).selection_gap,
            training=config.model_dump(),
            curves=columns(outcome.history),
            data=DataFacts.model_validate(facts),
            parameters=sum(p.numel() for p in model.network.parameters()),
            versions=versions(),
            weights=None if begun is None else begun.facts,
            costs=trial.costs,
            **beside_accuracy(self.plan.config.study.objective, tested),
        )


def validated(trial: TrialRecord, n: int) -> Validated:
    """What the search claims of a trial that was scored on `n` images."""
    assert trial.accuracy is not None
    if not trial.fold_scores:
        return Validated(accuracy=trial.accuracy, n=n)
    return Validated(accuracy=trial.accuracy, n=n, folds=Spread.of(trial.fold_scores))


def beside_accuracy(objective: Objective, tested: "Tested") -> dict[str, Any]:
    """What the metrics say of what the search maximised; nothing where that is the accuracy."""
    if objective == "accuracy":
        return {}
    if objective == "log_loss":
        own = tested.probabilities[np.arange(len(tested.labels)), tested.labels]
        score = float(np.exp(np.log(np.maximum(own.astype(np.float64), 1e-12)).mean()))
    else:
        macro = tested.plain.macro_tested
        score = macro.recall if objective == "balanced_accuracy" else macro.f1
    return {"objective": objective, "test_score": score}


def _familiarity(
    config: TrainConfig, engines: "EnginePool", model: "TrainedModel", gaps: Sequence[Gap]
) -> dict[str, np.ndarray]:
    from train_core.engine import known_features

    learned = next(iter(known_features(config, engines.data) or ()), None)
    return familiarity(model, engines.data.train, gaps, learned)


def _export(
    folder: Path,
    run: RunConfig,
    model: "TrainedModel",
    images: "Images",
    metrics: Metrics,
    files: Mapping[str, str | Mapping[str, Any]],
) -> Metrics:
    """Write everything beside the final place, check it, and move it there in one step.

    A folder that is there already is kept under another name: nothing that was made is lost.
    ONNX and PyTorch are compared on some of the test images; how far they differ is added to the
    metrics. `files` are the others, by name: a text, or arrays by name.

    Raises:
        ExportMismatch: The ONNX file does not say what the model says.
    """
    from search.export.activation import heat_of_errors, map_size
    from search.export.formats import in_one_step
    from search.export.onnx import export_onnx
    from train_core.model import load_model, save_model

    with in_one_step(folder, folder.parent) as built:
        built.mkdir()
        save_model(built / "model.safetensors", model)
        # What goes on is what was saved: a file that cannot be read would show here.
        saved = load_model(built / "model.safetensors")
        some = images[list(range(min(_COMPARED, len(images))))].cpu()
        worst = export_onnx(built / "model.onnx", saved, some)
        write_toml(built / "config.toml", run.model_dump())
        maps = map_size(saved, some[:2])
        metrics = metrics.model_copy(update={"onnx_difference": worst, "maps": maps})
        describe(built, metrics)
        for name, content in files.items():
            if isinstance(content, str):
                write_whole(built / name, content)
                continue
            if name == "evaluation.npz":
                wrong = content["picture_rows"][: int(content["wrong_count"])].tolist()
                content = {**content, **heat_of_errors(saved, images, wrong, maps)}
            np.savez_compressed(built / name, **content)
        if folder.exists():
            numbered = (folder.with_name(f"{folder.name}-{i}") for i in count(1))
            folder.replace(next(path for path in numbered if not path.exists()))
    return metrics
