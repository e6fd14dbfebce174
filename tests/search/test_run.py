"""The command, run as users run it: real processes, real signals, a real database."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from studies.records import trial_records
from studies.study import Place, find
from tests.conftest import write_images
from tests.search.conftest import TINY
from train_core.toml_file import write_toml

ONCE = {"top": 1, "seeds": 1}
"""The shortest confirmation."""


def start_search(
    folder: Path, *arguments: object, training: dict | None = None, env=None, **sections
) -> subprocess.Popen:
    """Start `search.run` in a folder with `pictures/`, with the tiny config."""
    data = {"dataset": "pictures", "image_size": 16}
    config = {**TINY, "data": data, **sections}
    config["training"] = {**config["training"], **(training or {})}
    config["study"] = {**config["study"], "name": "tiny"}
    path = folder / f"config-{len(list(folder.glob('config-*')))}.toml"
    write_toml(path, config)
    words = ["--config", path, "--runs", folder / "runs", *arguments]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "search.run", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


@pytest.fixture
def search(image_folder, tmp_path):
    """Starts searches, and ends those that are left."""
    running: list[subprocess.Popen] = []

    def start(*arguments: object, **sections) -> subprocess.Popen:
        running.append(start_search(tmp_path, *arguments, **sections))
        return running[-1]

    yield start
    for process in running:
        kill(process)


def kill(process: subprocess.Popen) -> None:
    """As a power cut would: everything at once."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    with process:
        pass


def finished(process: subprocess.Popen, code: int = 0) -> str:
    output, _ = process.communicate(timeout=250)
    assert process.returncode == code, output
    return output


def records(tmp_path):
    return trial_records(find(Place("tiny", tmp_path / "runs" / "tiny")))


def done(tmp_path) -> int:
    return sum(record.state in ("complete", "pruned") for record in records(tmp_path))


def wait_until(condition, seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def log_of(tmp_path) -> str:
    path = tmp_path / "runs" / "tiny" / "search.log"
    return path.read_text() if path.exists() else ""


def test_the_whole_job_and_then_again(search, tmp_path) -> None:
    output = finished(search())
    folder = tmp_path / "runs" / "tiny"
    for part in ("study   tiny (new)", "54 training, 6 validation, 15 test images", "CPU, ",
                 "recipe  cpu: convnet width 4", "search  lr, dropout, depth, augment",
                 "6 trials, then 2 x 2 confirmations", "about ", f"optuna-dashboard sqlite:///{folder}",
                 "best so far:", "confirmed", "test accuracy: ", "95 % interval",
                 "exported to"):  # fmt: skip
        assert part in output, part
    assert len(records(tmp_path)) == 6
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    assert metrics["search"]["test_evaluations"] == 1
    assert metrics["confirmed"]["n"] == 2
    names = {path.name for path in folder.iterdir()}
    assert {"study.db", "search.toml", "search.log", "best"} <= names
    assert "confirm trial" in log_of(tmp_path)

    again = finished(search())
    assert "study 'tiny' is complete with 6 trials" in again
    assert len(records(tmp_path)) == 6
    assert json.loads((folder / "best" / "metrics.json").read_text()) == metrics

    more = finished(search("--trials", 8))
    assert "6 of 8 trials done" in more
    assert done(tmp_path) == 8
    metrics = json.loads((folder / "best" / "metrics.json").read_text())
    assert metrics["search"]["complete"] + metrics["search"]["pruned"] == 8
    assert metrics["search"]["test_evaluations"] in (1, 2)

    other = finished(search(training={"epochs": 4}), code=2)
    assert re.search("error: .*training.epochs = 3, not 4.*--study NAME", other)


def test_ctrl_c_once_ends_cleanly_and_the_search_goes_on_bit_for_bit(search, tmp_path) -> None:
    slow = {"training": {"epochs": 40}, "trials": 4}
    process = search(**slow)
    wait_until(lambda: "trial 1 epoch 2" in log_of(tmp_path))
    os.killpg(process.pid, signal.SIGINT)  # As a terminal does: to everybody.
    output = finished(process, code=130)
    assert "stopping after the running epochs" in output
    assert re.search("[123] of 4 trials done; nothing is lost, run the same command again", output)
    assert "python -m search.finalize --study tiny" in output
    assert "Traceback" not in output
    assert [record.state for record in records(tmp_path)][-2:] == ["handed back", "waiting"]
    process = search(**slow)
    wait_until(lambda: done(tmp_path) == 4)
    kill(process)
    resumed = [r for r in records(tmp_path) if r.state in ("complete", "pruned")]

    (tmp_path / "runs" / "tiny").rename(tmp_path / "runs" / "first")
    process = search(**slow)
    wait_until(lambda: re.search("trial 3 (complete|pruned)", log_of(tmp_path)))
    straight = records(tmp_path)
    assert len(resumed) == len(straight) == 4
    for mine, other in zip(resumed, straight, strict=True):
        assert (mine.params, mine.state, mine.curve) == (other.params, other.state, other.curve)


def test_ctrl_c_twice_stops_at_once_and_loses_nothing(search, tmp_path) -> None:
    process = search(training={"epochs": 500})
    wait_until(lambda: "trial 0 epoch 2" in log_of(tmp_path))
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    output = finished(process, code=130)
    assert "nothing is lost" in output
    assert "Traceback" not in output
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    states = [record.state for record in records(tmp_path)]
    assert states == ["handed back", "waiting"]


def test_workers_do_not_outlive_a_killed_parent(search, tmp_path) -> None:
    process = search(training={"epochs": 500})
    wait_until(lambda: "trial 0 epoch 2" in log_of(tmp_path))
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


def test_a_killed_worker_is_replaced_and_its_trial_run_again(search, tmp_path) -> None:
    process = search("--trials", 3, training={"epochs": 30}, confirm={"top": 1, "seeds": 99})
    wait_until(lambda: "trial 1 epoch 2" in log_of(tmp_path))
    (worker,) = [
        c for c in psutil.Process(process.pid).children() if "spawn_main" in str(c.cmdline())
    ]
    worker.kill()
    wait_until(lambda: done(tmp_path) == 3)
    process.send_signal(signal.SIGINT)
    output = finished(process, code=130)
    assert "worker 0 died (exit code -9); another one takes over" in output
    states = [record.state for record in records(tmp_path)]
    assert states.count("handed back") == 1
    assert done(tmp_path) == 3


def test_two_commands_at_once_end_with_exactly_the_total(search, tmp_path) -> None:
    both = [search("--trials", 10, confirm=ONCE) for _ in range(2)]
    outputs = [finished(process) for process in both]
    assert done(tmp_path) == 10
    assert len({repr(record.params) for record in records(tmp_path)}) == 10
    for output in outputs:
        assert "test accuracy: " in output
    metrics = json.loads((tmp_path / "runs/tiny/best/metrics.json").read_text())
    assert metrics["search"]["test_evaluations"] == 1
    assert log_of(tmp_path).count("final training complete") == 1


_SPY = """
import multiprocessing, os, sys

def note(what):
    file = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, f"{multiprocessing.current_process().name} {what}\\n".encode())
    os.close(file)

def hook(event, args):
    if event == "open" and str(args[0]).endswith("images.npy"):
        note(os.path.basename(args[0]))
    if event == "import" and args[0] == "torch":
        note("torch")

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A search with two workers and its storage elsewhere, and who opened and imported what."""
    folder = tmp_path_factory.mktemp("watched")
    write_images(folder / "pictures" / "train", 60)
    write_images(folder / "pictures" / "test", 15, seed=9)
    (folder / "spy").mkdir()
    (folder / "spy" / "sitecustomize.py").write_text(_SPY)
    env = {"PYTHONPATH": str(folder / "spy"), "NOTES": str(folder / "notes.txt")}
    url = f"sqlite:///{folder}/elsewhere.db"
    words = ["--workers", 2, "--trials", 8, "--storage", url]
    confirm = {"top": 2, "seeds": 1}
    process = start_search(folder, *words, env=env, training={"epochs": 40}, confirm=confirm)
    output = finished(process)
    return folder, output, set((folder / "notes.txt").read_text().splitlines())


def test_two_workers_share_the_trials(watched) -> None:
    folder, output, _ = watched
    assert "2 workers" in output
    assert "worker 0: trial" in log_of(folder)
    assert "worker 1: trial" in log_of(folder)


def test_only_preparing_and_testing_open_the_test_images(watched) -> None:
    notes = watched[2]
    opened = {note.split()[0] for note in notes if note.endswith("test.images.npy")}
    assert opened == {"prepare-0", "final-0"}
    for process in ("prepare-0", "worker-0", "worker-1", "final-0"):
        assert f"{process} train.images.npy" in notes


def test_the_parent_imports_no_torch(watched) -> None:
    """It stays small and quick to start, and no fault of CUDA can take it along."""
    importers = {note.split()[0] for note in watched[2] if note.endswith(" torch")}
    assert importers == {"worker-0", "worker-1", "final-0"}


def test_the_storage_can_be_elsewhere(watched) -> None:
    folder = watched[0]
    assert not (folder / "runs" / "tiny" / "study.db").exists()
    with sqlite3.connect(folder / "elsewhere.db") as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (8,)
    assert (folder / "runs" / "tiny" / "best" / "model.onnx").exists()


def test_finalize_works_on_a_study_that_was_stopped_early(search, run_module, tmp_path) -> None:
    process = search(training={"epochs": 12}, confirm={"top": 1, "seeds": 2})
    wait_until(lambda: "trial 2 epoch 2" in log_of(tmp_path))
    process.terminate()
    finished(process, code=143)
    done_before = done(tmp_path)
    outcome = run_module("search.finalize", "--study", "tiny", "--runs", tmp_path / "runs")
    assert outcome.returncode == 0, outcome.stderr
    assert "test accuracy: " in outcome.stdout
    assert done(tmp_path) == done_before
    best = tmp_path / "runs" / "tiny" / "best"
    assert json.loads((best / "metrics.json").read_text())["confirmed"]["n"] == 2


def test_a_study_without_a_complete_trial_says_so(search, tmp_path) -> None:
    output = finished(search("--trials", 2, training={"lr": 1e38}, space={
        "fixed": ["batch_size", "dropout", "depth", "augment"],
        "parameters": {"lr": {"type": "float", "low": 1e37, "high": 1e38}},
    }), code=1)  # fmt: skip
    assert "has no complete trial, so there is nothing to confirm or export: run more" in output
    assert not (tmp_path / "runs" / "tiny" / "best").exists()
    assert [record.state for record in records(tmp_path)] == ["pruned", "pruned"]


def test_the_dashboard_runs_beside_the_search_and_ends_with_it(search, tmp_path) -> None:
    import urllib.request

    process = search("--dashboard", training={"epochs": 60})
    wait_until(lambda: "http://127.0.0.1:" in log_of(tmp_path))
    url = re.search(r"http://127.0.0.1:\d+/", log_of(tmp_path))[0]
    with urllib.request.urlopen(f"{url}api/studies", timeout=20) as response:
        assert b'"tiny"' in response.read()
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGINT)
    finished(process, code=130)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "trials must be greater than or equal to 1, but got 0"),
        (["--trials", "many"], "Invalid value for '--trials'"),
        (["--dataset", "nowhere"], "dataset must be one of cifar10, .* but got 'nowhere'"),
        (["--recipe", "slow"], "recipe must be 'cpu', 'fast' or 'accurate'"),
        (["--space", "wide", "--dataset", "digits"], "a space must be one of default, extended"),
        (["--storage", "nonsense", "--dataset", "digits"], "storage must be the URL"),
        (["--config", "nowhere.toml"], "a config must be a readable file"),
        (["--study", "../up"], "name must"),
        (["--verbose"], "No such option: --verbose"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(run_module, arguments, message, tmp_path) -> None:
    outcome = run_module("search.run", *arguments)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ")
    assert re.search(message, outcome.stderr)
    assert outcome.stderr.count("\n") == 1
    assert "Traceback" not in outcome.stderr
    assert not list(tmp_path.glob("runs/*/best"))


def test_no_network_is_one_line_with_the_ways_on(run_module) -> None:
    proxy = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    outcome = run_module("search.run", "--dataset", "cifar10", env=proxy)
    assert outcome.returncode == 2
    assert outcome.stderr.splitlines()[-1].startswith(
        "error: cifar10 is not in 'data' and could not"
    )
    for way in (
        "data/cifar-10-python.tar.gz there yourself",
        "--dataset FOLDER",
        "--dataset digits",
    ):
        assert way in outcome.stderr


def test_flags_are_checked_without_torch_and_optuna(run_module) -> None:
    outcome = run_module("search.run", "--trials", "0", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert outcome.returncode == 2
    imported = {line.split("|")[-1].strip() for line in outcome.stderr.splitlines()}
    assert "pydantic" in imported
    assert not imported & {"torch", "optuna", "sqlalchemy", "torchvision"}
