"""Studies made by script, as searches would have left them."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from sklearn.metrics import classification_report, confusion_matrix

from records.evaluation import LabelErrors, SuspectLabel
from records.metrics import Metrics, write_metrics
from records.statistics import accuracy_interval, calibration_error
from studies.attributes import (
    CAUSE,
    CONFIRMED,
    COSTS,
    HISTORY,
    INDEX,
    MACHINE,
    OWNER,
    REASON,
    RETRY_OF,
)
from studies.study import Place, Purpose, make_or_resume

SPACE = {
    "lr": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
    "batch_size": {"type": "choice", "choices": [128, 256, 512]},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "depth": {"type": "int", "low": 1, "high": 3},
}
EPOCHS = 6
CLASSES = ["a", "b", "<script>alert(1)</script>"]
BEGAN = datetime(2026, 3, 1, 12, 0)
_STATES = {
    "complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL,
    "running": TrialState.RUNNING, "waiting": TrialState.WAITING,
}  # fmt: skip


def trial(
    number: int, state: str = "complete", curve: list[float] | None = None, **about
) -> FrozenTrial:
    """One trial of ten seconds.

    Args:
        number: Its place in the search.
        state: How it ended.
        curve: Validation accuracy per epoch; None = one that depends on its parameters.
        about: `cause`, `reason`, `retry_of`, `params`, `space`, `pid`, `host`, `start` (seconds),
            `costs`.
    """
    space = about.get("space", SPACE)
    params = about.get("params") or sampled(space, number)
    if curve is None:
        curve = learned(params, number, EPOCHS if state == "complete" else 2)
    user = {
        INDEX: number,
        OWNER: {"host": about.get("host", "box"), "pid": about.get("pid", 7), "started": 1.0,
                "session": 1},
        HISTORY: {"images": [1000.0] * len(curve)},
        CAUSE: about.get("cause"),
        REASON: about.get("reason"),
        RETRY_OF: about.get("retry_of"),
        COSTS: about.get("costs"),
    }  # fmt: skip
    made = create_trial(
        state=_STATES[state],
        values=[curve[-1], *about.get("costs", {}).values()] if state == "complete" else None,
        params=params,
        distributions={name: _distribution(space[name]) for name in params},
        intermediate_values=dict(enumerate(curve, 1)),
        user_attrs={key: value for key, value in user.items() if value is not None},
    )
    made.datetime_start = BEGAN + timedelta(seconds=about.get("start", 10 * number))
    ended = state in ("complete", "pruned", "failed")
    made.datetime_complete = made.datetime_start + timedelta(seconds=10) if ended else None
    return made


def sampled(space: dict, number: int) -> dict:
    """A point of the space, the same for every call."""
    random = np.random.default_rng(number)
    return {name: _draw(parameter, random) for name, parameter in space.items()}


def learned(params: dict, number: int, epochs: int) -> list[float]:
    """A learning curve on which the learning rate matters most."""
    top = 0.9 - 0.1 * abs(math.log10(params["lr"]) + 1) - 0.1 * params.get("dropout", 0.0)
    top += np.random.default_rng(number).normal(0, 0.01)
    return [round(float(top) * (1 - 0.5**epoch), 4) for epoch in range(1, epochs + 1)]


def usual(count: int = 24) -> list[FrozenTrial]:
    """Complete ones, and from the tenth on pruned, diverged and failed ones too."""
    others = {
        12: ("pruned", "rule"),
        15: ("pruned", "diverged"),
        18: ("failed", "error"),
    }
    return [
        trial(n, others[n][0], cause=others[n][1]) if n in others else trial(n)
        for n in range(count)
    ]


def make_study(
    root: Path,
    trials: list[FrozenTrial],
    name: str = "made",
    space: dict | None = None,
    **about,
) -> Place:
    """A study in `root/<name>` with these trials.

    Args:
        root: The runs' folder.
        trials: What it holds.
        name: What it is called.
        space: What is searched.
        about: `total`, `confirmed` (number -> accuracies), `data`, `split`, `storage`,
            `objectives`.
    """
    place = Place(name, root / name, about.get("storage"))
    fingerprint = {
        "space": SPACE if space is None else space,
        "training": {"epochs": EPOCHS, "network": "convnet"},
        "seed": 3, "recipe": "cpu", "data": about.get("data", {"images": "abc"}),
        "split": about.get("split", "s"),
    }  # fmt: skip
    settings = {
        "trials": about.get("total", len(trials)),
        "study": {"sampler": "tpe", "pruner": "median", "prune_after": 1 / 6},
    }
    objectives = about.get("objectives", ("accuracy",))
    study = make_or_resume(place, Purpose(fingerprint, settings, {}, objectives=objectives))
    for made in trials:
        study.add_trial(made)
    for number, accuracies in about.get("confirmed", {}).items():
        for seed, accuracy in enumerate(accuracies):
            study.set_user_attr(CONFIRMED.format(trial=number, seed=seed), accuracy)
    facts = {"device": "CPU", "precision": "float32", "versions": {"python": "3"}}
    study.set_user_attr(MACHINE.format(host="box"), facts)
    return place


def write_best(
    place: Place, trial_number: int = 0, classes: list[str] = CLASSES, unnamed: int = 0
) -> dict:
    """A `best/` folder as an export leaves it, of a model that is right three times in four.

    It never names the last `unnamed` classes.
    """
    folder, random = place.folder / "best", np.random.default_rng(0)
    labels = np.arange(40 * len(classes)) % len(classes)
    logits = random.normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += 2.0
    logits[:, len(classes) - unnamed :] -= 50.0
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    folder.mkdir(parents=True)
    metrics = _metrics(_evaluation(labels, probabilities, classes), trial_number, classes)
    write_metrics(folder, metrics.model_copy(update={"label_errors": label_errors(classes)}))
    wrong = np.flatnonzero(probabilities.argmax(1) != labels)[:4]
    rows = np.concatenate([wrong, np.arange(3 * len(classes))])
    np.savez_compressed(
        folder / "evaluation.npz",
        labels=labels, probabilities=probabilities.astype(np.float32), picture_rows=rows,
        pictures=random.integers(0, 256, (len(rows), 16, 16, 3)).astype(np.uint8),
        wrong_count=np.array(len(wrong)),
        picture_paths=np.array([f"test/{classes[labels[row]]}/{row}.png" for row in rows]),
        label_error_pictures=random.integers(0, 256, (2, 16, 16, 3)).astype(np.uint8),
        augmented=random.integers(0, 256, (2, 3, 16, 16, 3)).astype(np.uint8),
        augment_strengths=np.array([0.0, 0.25, 1.0], np.float32),
        heat=random.random((len(wrong), 3, 3)).astype(np.float16),
    )  # fmt: skip
    return json.loads((folder / "metrics.json").read_text())


def label_errors(classes: list[str]) -> LabelErrors:
    """Two of three probable ones."""
    listed = tuple(
        SuspectLabel(
            path=f"train/{name}/7.png", label=name, predicted=classes[0], wrong=0.9,
            label_probability=0.01, predicted_probability=0.95,
        )
        for name in classes[1:3]
    )  # fmt: skip
    return LabelErrors(n=200, noise=0.015, found=3, expected=2.4, listed=listed)


def _evaluation(labels: np.ndarray, probabilities: np.ndarray, classes: list[str]) -> dict:
    predicted = probabilities.argmax(1)
    report = classification_report(
        labels, predicted, target_names=classes, output_dict=True, zero_division=0.0
    )
    quality = {
        name: {
            "precision": row["precision"], "recall": row["recall"], "f1": row["f1-score"],
            "n": row["support"],
        }
        for name, row in report.items()
        if name != "accuracy"
    }  # fmt: skip
    hits = int((predicted == labels).sum())
    return {
        "accuracy": hits / len(labels), "interval_95": accuracy_interval(hits, len(labels)),
        "n": len(labels), "calibration_error": calibration_error(labels, probabilities),
        "macro": quality["macro avg"], "per_class": {name: quality[name] for name in classes},
        "confusion_matrix": confusion_matrix(labels, predicted).tolist(),
    }  # fmt: skip


def _metrics(test: dict, trial_number: int, classes: list[str]) -> Metrics:
    part = {"count": 100, "sha256": "f" * 64}
    values = {
        "created": "2026-03-01T12:30:00+00:00",
        "search": {"study": "made", "complete": 21, "pruned": 2, "candidates": 2},
        "trial": trial_number,
        "params": sampled(SPACE, trial_number),
        "validation": {"accuracy": 0.85, "n": 200},
        "confirmed": {"mean": 0.84, "std": 0.01, "n": 3},
        "selection_gap": 0.01,
        "test": test,
        "training": {"network": "convnet", "width": 16, "depth": 2, "augment": 0.25, "seed": 9},
        "curves": {"epoch": [1.0, 2.0], "train_loss": [2.0, 1.5], "train_accuracy": [0.4, 0.6],
                   "lr": [0.1, 0.0]},
        "data": {"name": "made", "classes": classes, "image_size": 16, "train": part,
                 "test": part},
        "parameters": 1234,
        "onnx_difference": 1e-7,
        "versions": {"convsearch": "0.1.0"},
    }  # fmt: skip
    return Metrics.model_validate(values)


def _draw(parameter: dict, random: np.random.Generator):
    if parameter["type"] == "choice":
        return parameter["choices"][random.integers(len(parameter["choices"]))]
    low, high = parameter["low"], parameter["high"]
    if parameter["type"] == "int":
        return int(random.integers(low, high + 1))
    if parameter.get("log"):
        return float(np.exp(random.uniform(np.log(low), np.log(high))))
    return float(random.uniform(low, high))


def _distribution(parameter: dict):
    if parameter["type"] == "choice":
        return CategoricalDistribution(parameter["choices"])
    kind = IntDistribution if parameter["type"] == "int" else FloatDistribution
    return kind(parameter["low"], parameter["high"], log=parameter.get("log", False))
