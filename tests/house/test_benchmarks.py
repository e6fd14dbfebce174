"""Benchmarks can be started, and `benchmarks.gpu_check` runs to its end without a GPU."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import airbench, gpu_check, measure, peers
from benchmarks.gpu_check import Sizes, Skipped
from benchmarks.measure import Watched
from benchmarks.peer_searches import Answer, Trial
from benchmarks.serve_client import Load

ROOT = Path(__file__).parents[2]
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_can_be_imported(name) -> None:
    assert callable(getattr(importlib.import_module(f"benchmarks.{name}"), "main", dict))


def test_every_command_that_is_cited_is_there() -> None:
    cited = {"gpu_check", "middle_scores", "outside_steps", "peers", "roofline"}
    assert cited | {"search_overhead", "serve_load", "throughput"} <= set(MODULES)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_the_check_says_so_in_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    assert gpu_check.main() == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert "needs a CUDA device" in err


def run_parts(monkeypatch, capsys, **parts) -> tuple[int, list[str]]:
    """The exit code of the check with other parts, and what it prints."""
    monkeypatch.setattr(gpu_check, "_PARTS", parts)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--cpu"])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    code = gpu_check.main()
    return code, capsys.readouterr().out.splitlines()


def says_one(_: Sizes):
    yield "one"


def lacks_something(_: Sizes):
    raise Skipped("it needs optuna")
    yield ""


def breaks(_: Sizes):
    yield "half"
    raise RuntimeError("CUDA error: out of memory")


def test_a_part_that_fails_costs_itself(monkeypatch, capsys) -> None:
    code, lines = run_parts(monkeypatch, capsys, first=breaks, second=says_one)
    assert code == 1
    assert lines[:2] == ["first: half", "first: FAILED"]
    assert "RuntimeError: CUDA error: out of memory" in lines
    assert lines[-2] == "second: one"


def test_a_part_that_lacks_something_is_skipped(monkeypatch, capsys) -> None:
    code, lines = run_parts(monkeypatch, capsys, first=lacks_something, second=says_one)
    assert code == 0
    assert lines[:2] == ["first: skipped: it needs optuna", "second: one"]


def test_nothing_starts_when_the_time_is_over() -> None:
    Sizes().need_time()
    with pytest.raises(Skipped, match="the time is over"):
        Sizes(started=float("-inf")).need_time()


def test_losses_that_differ_are_an_error(monkeypatch) -> None:
    monkeypatch.setitem(gpu_check._EQUAL, "captured", -1.0)
    part = gpu_check._equal(("captured",), gpu_check._TINY())
    assert next(part).startswith("captured and eager, fp32: losses differ")
    with pytest.raises(RuntimeError, match="captured must be within -1 of eager"):
        next(part)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_check_runs_on_a_processor() -> None:
    # Compiling, two workers and a whole search would take a minute more: run them by hand.
    parts = [name for name in gpu_check._PARTS if name.partition("-")[2] != "compiled"]
    # Nor are the published scripts here, which need a GPU.
    parts = [name for name in parts if name not in ("workers", "search", "reference")]
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--cpu", "--only", *parts]
    # On a busy machine, several threads would wait for each other most of the time.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    said = {line.partition(":")[0] for line in done.stdout.splitlines()}
    assert set(parts) <= said
    assert "skipped" not in done.stdout


SCRIPT = """
import os
hyp = {'train_epochs': 2.5, 'batch_size': 100}
for part in ("train", "test"):
    assert os.path.getsize(f"cifar10/{part}.pt") > 250 * 32 * 32 * 3
print("|  run     |  epoch  |  val_acc  |  total_time_seconds  |")
for run, seconds in enumerate([90.0, 2.0, 2.5, 4.0, 5.0]):
    print(f"|  {run}  |      1  |   0.1000  |              1.0000  |")
    print(f"|          |   eval  |   0.1000  |  {seconds:20.4f}  |", flush=True)
while True:
    pass
"""


def test_a_published_script_is_run_as_it_is_and_set_beside_ours(tmp_path) -> None:
    script = tmp_path / "airbench" / "legacy" / "airbench94.py"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT)
    sizes = Sizes(images=250, reference=tmp_path, speeds={"captured": 300.0})
    lines = list(gpu_check._reference("airbench94.py", sizes))
    # 2.5 epochs of two whole batches of 100, of the second to fourth training.
    assert lines == ["airbench94.py: 200 (125 to 250) images/s", "captured: 1.50 times as many"]


@pytest.mark.parametrize("folder", [None, "."])
def test_without_the_published_script_its_part_is_skipped(tmp_path, folder) -> None:
    sizes = gpu_check._TINY(reference=folder and tmp_path / folder)
    with pytest.raises(Skipped, match="--reference says where|there is no airbench94.py in"):
        next(gpu_check._reference("airbench94.py", sizes))


def test_a_script_that_is_too_slow_is_ended(tmp_path) -> None:
    script = tmp_path / "slow.py"
    script.write_text("# 'train_epochs': 1 'batch_size': 10\nimport time\ntime.sleep(600)\n")
    assert airbench.published_speeds(script, 10, limit=0.1) == []


def test_figures_are_shown_with_their_range() -> None:
    assert measure.spread([3.0, 1234.0, 20.0]) == "20 (3 to 1,234)"
    assert measure.spread([0.25], ".2f") == "0.25 (0.25 to 0.25)"


def test_noise_is_brighter_from_class_to_class() -> None:
    images, labels = measure.noise(200)
    assert images.shape == (200, 32, 32, 3)
    means = [images[labels == label].mean() for label in range(10)]
    assert means == sorted(means)


def test_a_search_is_measured_until_its_last_trial_ends() -> None:
    trials = [
        Trial(complete=True, accuracy=0.5, epochs=2, ended=110.0),
        Trial(complete=True, accuracy=0.7, epochs=2, ended=130.0),
        Trial(complete=False, accuracy=0.9, epochs=1, ended=120.0),
    ]
    watched = Watched(started=100.0, seconds=60.0, memory=((105.0, 5), (150.0, 9)))
    entry = peers.Entry("optuna", Answer(description="", trials=trials, test=0.6), watched)
    assert (entry.seconds, entry.epochs, entry.best_after()) == (30.0, 5, 0.7)
    assert [entry.best_after(seconds) for seconds in (5, 15)] == [0.0, 0.5]
    assert [watched.peak(entry.ended), watched.peak()] == [5, 9]


def test_latencies_are_shown_as_percentiles() -> None:
    load = Load(seconds=2.0, latencies=[0.001 * n for n in range(1, 101)])
    load.errors["503"] += 1
    assert load.per_second == 50
    shown = "p50 50.0  p95 95.0  p99 99.0  worst 100.0 ms      100 answers, errors {'503': 1}, 2 s"
    assert load.describe() == shown
