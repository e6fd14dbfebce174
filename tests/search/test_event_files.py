"""Event files, read back with TensorBoard's own reader."""

import subprocess
import sys

import pytest

from records.outcome import EpochRecord
from search.config import LoggingConfig
from search.workers.events import Ended, EpochEnded, Warned
from search.workers.training_files import EventFiles, event_files_of, refuse_missing
from search.workers.trial import RunTrials
from studies.attributes import trial_records
from studies.study import make_or_resume
from tests.search.conftest import run_task

pytestmark = pytest.mark.slow

pytest.importorskip("tensorboard", reason="event files: tensorboard is not installed")

TAGS = {
    "loss/train",
    "loss/validation",
    "accuracy/train",
    "accuracy/validation",
    "learning_rate",
    "images_per_second",
    "epoch_seconds",
}
ASKED = {"logging": {"tensorboard": True}}


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def steps(events, tag: str = "accuracy/validation") -> list[int]:
    return [scalar.step for scalar in events.Scalars(tag)]


def begun(plan):
    study = make_or_resume(plan.place, plan.purpose())
    return study, plan.folder / "tensorboard"


def test_every_trial_has_its_curves_and_its_parameters(tiny_plan, worker) -> None:
    plan = tiny_plan(**ASKED)
    study, folder = begun(plan)
    run_task(RunTrials(plan, None), worker)
    records = trial_records(study)
    assert {path.name for path in folder.iterdir()} == {f"trial-{r.index:04d}" for r in records}
    for record in records:
        events = read(folder / f"trial-{record.index:04d}")
        assert set(events.Tags()["scalars"]) == TAGS | {"hparam/validation_accuracy"}
        values = {s.step: s.value for s in events.Scalars("accuracy/validation")}
        assert values == pytest.approx(record.curve)
        losses = [s.value for s in events.Scalars("loss/train")]
        assert losses == pytest.approx(record.history["train_loss"], rel=1e-4)
        (final,) = events.Scalars("hparam/validation_accuracy")
        assert final.value == pytest.approx(record.accuracy)
        assert parameters(events) == pytest.approx(record.params)


def parameters(events) -> dict[str, float]:
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    hparams = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: value.number_value for name, value in hparams.items()}


def test_a_trial_that_goes_on_has_no_step_twice(tiny_plan, worker) -> None:
    plan = tiny_plan(**ASKED, workers={"threads": 1, "checkpoint_every": 0.0})
    study, folder = begun(plan)
    for event in RunTrials(plan, None).run(worker):
        if isinstance(event, EpochEnded) and (event.job, event.epoch) == ("trial 1", 2):
            worker._stop.set()
    assert steps(read(folder / "trial-0001")) == [1, 2]
    assert "hparam/validation_accuracy" not in read(folder / "trial-0001").Tags()["scalars"]
    worker._stop.up = False
    run_task(RunTrials(plan, None), worker)
    (again,) = (r for r in trial_records(study) if r.index == 1 and r.state != "requeued")
    events = read(folder / "trial-0001")
    assert len(list((folder / "trial-0001").iterdir())) == 3  # Two processes, the parameters.
    assert again.number != 1
    for tag in TAGS:
        assert steps(events, tag) == sorted(again.curve)
    assert len(events.Scalars("hparam/validation_accuracy")) == 1


def test_nothing_happens_unless_it_is_asked_for(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=1)
    _, folder = begun(plan)
    run_task(RunTrials(plan, None), worker)
    assert not folder.exists()
    records = [1, 2]
    with event_files_of(plan, 0) as event_files:
        assert list(event_files.follow(records)) == records
    modules = "search.workers.trial, search.finalize.final"
    code = f"import sys, {modules}; sys.exit('tensorboard' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_trial_does_not_fail_because_of_them(tiny_plan, worker) -> None:
    plan = tiny_plan(trials=1, **ASKED)
    study, folder = begun(plan)
    folder.write_text("in the way")
    events, _ = run_task(RunTrials(plan, None), worker)
    (ended,) = (event for event in events if isinstance(event, Ended))
    assert ended.outcome.state == "complete"
    (warned,) = (event for event in events if isinstance(event, Warned))
    assert warned.message.startswith(f"event files in {folder}/trial-0000 end here: ")
    assert folder.read_text() == "in the way"


def test_an_early_end_leaves_a_whole_file(tmp_path) -> None:
    record = EpochRecord(
        epoch=1, train_loss=2.0, train_accuracy=0.5, val_loss=None, val_accuracy=None, lr=0.1,
        seconds=2.0, images=10,
    )  # fmt: skip
    with EventFiles(tmp_path) as event_files:
        records = iter(event_files.follow([record, record]))
        assert next(records) is record
    events = read(tmp_path)
    assert set(events.Tags()["scalars"]) == {tag for tag in TAGS if "validation" not in tag}
    (speed,) = events.Scalars("images_per_second")
    assert (speed.step, speed.value) == (1, 5.0)


def test_what_is_missing_is_told_before_anything_starts(run_here, monkeypatch, tmp_path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    (tmp_path / "c.toml").write_text("data.dataset = 'digits'\nlogging.tensorboard = true\n")
    outcome = run_here("search.run", "--config", "c.toml")
    assert outcome.returncode == 2
    assert outcome.stdout == ""
    assert outcome.stderr == (
        "error: [logging] tensorboard = true needs the package 'tensorboard', but it is not "
        "installed: pip install 'convsearch[tensorboard]', or leave the key out\n"
    )
    assert not (tmp_path / "runs").exists()
    refuse_missing(LoggingConfig())
