"""What earlier versions wrote must load for ever: `tests/assets/<study>-<version>`."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from records.metrics import read_metrics
from search.config import load_search_config
from search.export.onnx import run_onnx
from studies.attributes import trial_records
from studies.study import Place, find
from train_core.model import load_model, probabilities
from train_core.recipes import load_run_config

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).parents[1] / "assets"
OLD = sorted(path.name for path in ASSETS.iterdir() if path.is_dir())


@pytest.fixture(params=OLD)
def old(request, tmp_path) -> Path:
    """The folder of a study, as somebody kept it."""
    folder = tmp_path / "runs" / request.param
    shutil.copytree(ASSETS / request.param, folder)
    return folder


def test_there_is_one() -> None:
    assert OLD


def test_the_study_can_be_read(old) -> None:
    trials = trial_records(find(Place(old.name, old)))
    assert [trial.index for trial in trials] == [0, 1, 2, 3]
    assert all(trial.state in ("complete", "pruned") for trial in trials)
    assert all(trial.curve and trial.history["val_accuracy"] for trial in trials)


def test_the_configuration_can_be_read(old) -> None:
    config = load_search_config(str(old / "search.toml"), {})
    assert (config.trials, config.data.dataset) == (4, "digits")


def test_the_model_says_what_it_said(old) -> None:
    best = old / "best"
    with np.load(best / "evaluation.npz") as file:
        pictures, rows = file["pictures"], file["picture_rows"]
        said = file["probabilities"][rows]
    model = load_model(best / "model.safetensors")
    again = probabilities(model.network, torch.from_numpy(pictures), model.normalisation)
    assert np.abs(again.numpy() - said).max() < 1e-3
    assert np.abs(run_onnx(best / "model.onnx", pictures)[0] - said).max() < 1e-3
    metrics = read_metrics(best)
    assert metrics.test.n == 359
    assert load_run_config(str(best / "config.toml")).training.width == 4


def test_the_search_goes_on(old) -> None:
    before = read_metrics(old / "best")
    command = [sys.executable, "-W", "error", "-m", "search.run", "--trials", "5"]
    command += ["--config", str(old / "search.toml"), "--runs", str(old.parent)]
    done = subprocess.run(command, cwd=old.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trials = trial_records(find(Place(old.name, old)))
    assert sum(trial.state in ("complete", "pruned") for trial in trials) == 5
    assert "4 of 5 trials done" in done.stdout
    metrics = read_metrics(old / "best")
    assert metrics.search.complete + metrics.search.pruned == 5
    # Only another winner is tested.
    assert metrics.search.test_evaluations == before.search.test_evaluations + (
        metrics.trial != before.trial
    )
