"""The command, run as users run it: real processes, real signals, a real database."""

import os
import re
import socket
import sqlite3

import pytest

from records.command_line import run_app
from records.metrics import read_metrics
from search.run import app
from tests.conftest import write_pictures
from tests.search.processes import ONCE, done, finished, log_of, records, start_search

pytestmark = pytest.mark.slow


def test_two_commands_at_once_end_with_exactly_the_total(search, tmp_path) -> None:
    both = [search("--trials", 8, confirm=ONCE) for _ in range(2)]
    outputs = [finished(process) for process in both]
    assert done(tmp_path) == 8
    assert len({repr(record.params) for record in records(tmp_path)}) == 8
    for output in outputs:
        assert "test accuracy: " in output
    assert read_metrics(tmp_path / "runs/tiny/best").search.test_evaluations == 1
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
    if event == "open" and "pictures/test/" in str(args[0]):
        note("picture of the test")
    if event == "import" and args[0] in ("torch", "sklearn", "optuna_dashboard"):
        note(args[0])

sys.addaudithook(hook)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A search with two workers and its storage elsewhere, and who opened and imported what."""
    folder = tmp_path_factory.mktemp("watched")
    write_pictures(folder / "pictures")
    (folder / "spy").mkdir()
    (folder / "spy" / "sitecustomize.py").write_text(_SPY)
    paths = [str(folder / "spy"), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {"PYTHONPATH": os.pathsep.join(paths), "NOTES": str(folder / "notes.txt")}
    url = f"sqlite:///{folder}/elsewhere.db"
    words = ["--workers", 2, "--trials", 8, "--storage", url]
    confirm = {"top": 2, "seeds": 1}
    # From the cache's file, since all other tests have their images in memory.
    workers = {"images": "cache"}
    sections = {"training": {"epochs": 40}, "confirm": confirm, "report": True, "workers": workers}
    process = start_search(folder, *words, env=env, **sections)
    output = finished(process)
    return folder, output, set((folder / "notes.txt").read_text().splitlines())


def test_the_whole_job_is_done_and_told(watched) -> None:
    folder, output, _ = watched
    for part in ("study   tiny (new)", "54 training, 6 validation, 15 test images", "CPU, ",
                 "        0 MB read from the cache while networks train, as [workers] images says",
                 "recipe  cpu: convnet width 4", "search  lr, dropout, depth, augment",
                 "8 trials, then 2 x 1 confirmations", "about ",
                 f"optuna-dashboard sqlite:///{folder}/elsewhere.db", "best so far:", "confirmed",
                 "test accuracy: ", "95 % interval", "exported to"):  # fmt: skip
        assert part in output, part
    metrics = read_metrics(folder / "runs" / "tiny" / "best")
    assert metrics.search.test_evaluations == 1
    assert metrics.search.complete + metrics.search.pruned == 8
    assert metrics.confirmed.n == 1
    names = {path.name for path in (folder / "runs" / "tiny").iterdir()}
    assert {"search.toml", "search.log", "best", "report"} <= names
    assert "confirm trial" in log_of(folder)


def test_it_ends_with_a_report(watched) -> None:
    folder, output, _ = watched
    assert f"report in {folder}/runs/tiny/report/index.html" in output
    page = report_of(folder)
    assert "Finished: 8 of 8 trials done" in page
    assert "worker 2" in page
    assert f"machine {socket.gethostname()}" in page
    assert "A training image at strength" in page
    assert "What depends on it is left out" not in page


def report_of(folder) -> str:
    return (folder / "runs" / "tiny" / "report" / "index.html").read_text()


def test_two_workers_share_the_trials(watched) -> None:
    folder, output, _ = watched
    assert "2 workers" in output
    assert "worker 0: trial" in log_of(folder)
    assert "worker 1: trial" in log_of(folder)


def test_only_preparing_and_testing_open_the_test_images(watched) -> None:
    notes = watched[2]
    opened = {note.split()[0] for note in notes if note.endswith("test.images.npy")}
    assert opened == {"prepare-0", "final-0"}
    assert {note.split()[0] for note in notes if "picture" in note} == {"prepare-0"}
    for process in ("prepare-0", "worker-0", "worker-1", "final-0"):
        assert f"{process} train.images.npy" in notes


def test_the_parent_imports_no_torch(watched) -> None:
    """It stays small and quick to start, and no fault of CUDA can take it along."""
    importers = {note.split()[0] for note in watched[2] if note.endswith(" torch")}
    assert importers == {"worker-0", "worker-1", "final-0"}


def test_the_end_of_a_search_does_not_wait_for_imports_that_it_can_do_without(watched) -> None:
    notes = watched[2]
    assert not [note for note in notes if note.endswith(" optuna_dashboard")]
    # The report needs it, in the parent.
    assert "final-0 sklearn" not in notes


def test_the_storage_can_be_elsewhere(watched) -> None:
    folder = watched[0]
    assert not (folder / "runs" / "tiny" / "study.db").exists()
    with sqlite3.connect(folder / "elsewhere.db") as database:
        assert database.execute("SELECT count(*) FROM trials").fetchone() == (8,)
    assert (folder / "runs" / "tiny" / "best" / "model.onnx").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--trials", "0"], "trials must be greater than or equal to 1, but got 0"),
        (["--trials", "many"], "Invalid value for '--trials'"),
        (["--recipe", "slow"], "recipe must be 'cpu', 'fast', 'accurate' or 'pretrained'"),
        (["--space", "wide", "--dataset", "digits"], "a space must be one of default, extended"),
        (["--storage", "nonsense", "--dataset", "digits"], "storage must be the URL"),
        (["--config", "nowhere.toml"], "a config must be a readable file"),
        (["--study", "../up"], "name must"),
        (["--verbose"], "No such option: --verbose"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    arguments, message, monkeypatch, capsys, tmp_path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["search.run", *arguments])
    with pytest.raises(SystemExit) as ended:
        raise SystemExit(run_app(app))
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert re.match(f"error: .*{message}", error)
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_data_set_that_is_not_there_is_one_line_and_exit_code_2(run_module, tmp_path) -> None:
    outcome = run_module("search.run", "--dataset", "nowhere")
    assert outcome.returncode == 2
    assert re.fullmatch(
        "error: .*dataset must be one of cifar10, .* but got 'nowhere'.*\n", outcome.stderr
    )
    assert not (tmp_path / "runs").exists()


def test_flags_are_checked_without_torch_and_optuna(run_module) -> None:
    outcome = run_module("search.run", "--trials", "0", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert outcome.returncode == 2
    imported = {line.split("|")[-1].strip() for line in outcome.stderr.splitlines()}
    assert "pydantic" in imported
    assert not imported & {"torch", "optuna", "sqlalchemy", "torchvision"}
