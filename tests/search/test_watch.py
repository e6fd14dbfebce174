"""A real search, watched while it runs through a real dashboard, and looked at afterwards."""

import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from optuna_dashboard import get_note

from records.metrics import read_metrics
from search.display.dashboard import Watch
from search.display.progress import EventLog
from search.run import _draw
from studies.study import make_or_resume
from tests.conftest import write_pictures
from tests.search.processes import ONCE, finished, log_of, records, start_search, wait_until

pytestmark = pytest.mark.slow

OLD_EXPORT = Path(__file__).parents[1] / "assets" / "digits-0.1.0" / "best"
TRAINING = {"epochs": 60}


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read()


def study_at(base: str) -> dict:
    (summary,) = json.loads(get(f"{base}/api/studies"))["study_summaries"]
    return json.loads(get(f"{base}/api/studies/{summary['study_id']}?after=0"))


def start(folder: Path, trials: int, *words: str, report=True) -> subprocess.Popen:
    return start_search(
        folder,
        *("--trials", trials, *words),
        training=TRAINING,
        confirm=ONCE,
        logging={"tensorboard": True},
        report=report,
    )


@dataclass
class Watched:
    """A search's folder and total, what its dashboard showed meanwhile, and its processes."""

    folder: Path
    trials: int
    seen: list[dict]
    children: list[psutil.Process]


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A search that goes on until enough was seen of it, and is ended by a second command."""
    folder, seen = tmp_path_factory.mktemp("watched"), []
    write_pictures(folder / "pictures")
    first = start(folder, 1000, "--dashboard", report=False)
    url = re.compile(r"http://127.0.0.1:\d+")
    wait_until(lambda: url.search(log_of(folder)))
    base = url.search(log_of(folder))[0]

    def enough() -> bool:
        seen.append(study_at(base))
        return len({done for _, done in map(headline, seen)}) > 3

    wait_until(enough, seconds=200.0)
    children = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGINT)
    finished(first, code=130)
    # The trial that was stopped is run again.
    trials = sum(record.done for record in records(folder)) + 1
    finished(start(folder, trials))
    return Watched(folder, trials, seen, children)


def headline(study: dict) -> tuple[str, int]:
    """What the search is doing, and how many trials are done, as the study's note says."""
    found = re.search(r"\*\*(\w+)[^:]*: (\d+) of 1000 trials done", study["note"]["body"])
    return (found[1], int(found[2])) if found else ("", 0)


@pytest.fixture(scope="module")
def base(watched):
    """optuna-dashboard, started as the search says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = watched.folder / "runs" / "tiny"
    command = [Path(sys.executable).with_name("optuna-dashboard"), f"sqlite:///{folder}/study.db"]
    words = ["--artifact-dir", folder / "artifacts", "--port", port, "--server", "wsgiref"]
    process = subprocess.Popen(
        [*map(str, command + words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: answers(port))
    yield url
    process.terminate()
    process.wait(20)


def answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def test_everything_moves_while_the_search_runs(watched) -> None:
    headlines = [headline(study) for study in watched.seen]
    assert headlines == sorted(headlines)
    assert {doing for doing, _ in headlines} - {""} == {"Searching"}
    notes = {trial["note"]["body"] for study in watched.seen for trial in study["trials"]}
    assert any(note.startswith("**Running**") for note in notes)
    assert any(note.startswith("**Complete**") for note in notes)


def test_the_notes_say_what_follows_the_trials(tiny_plan) -> None:
    plan = tiny_plan()
    study = make_or_resume(plan.place, plan.purpose())
    watch = Watch(plan, study, EventLog(plan.folder), print)
    watch.doing = "confirming and training the winner"
    watch.update()
    assert "**Confirming and training the winner: 0 of 6 trials done**" in get_note(study)


def test_the_dashboard_ends_with_the_search(watched) -> None:
    assert len(watched.children) >= 2  # A worker and the dashboard.
    assert psutil.wait_procs(watched.children, timeout=20)[1] == []


def test_the_notes_say_how_it_ended(watched, base) -> None:
    study = study_at(base)
    metrics = json.loads((watched.folder / "runs/tiny/best/metrics.json").read_text())
    note = study["note"]["body"]
    assert f"**Finished: {watched.trials} of {watched.trials} trials done**" in note
    assert f"| test accuracy | {metrics['test']['accuracy']:.2%} " in note
    assert "| data | pictures: 54 training, 6 validation" in note
    ended = [trial for trial in study["trials"] if trial["state"] in ("Complete", "Pruned")]
    assert len(ended) == watched.trials
    for trial in ended:
        body, accuracy = trial["note"]["body"], trial["values"][0]
        assert body.startswith(f"**{trial['state']}**: ")
        assert f"{accuracy:.2%} validation accuracy after" in body
        steps = [value["step"] for value in trial["intermediate_values"]]
        assert f"\n| {steps[-1]} | {accuracy:.2%} | " in body


def test_plots_and_files_of_the_model_are_there(watched, base) -> None:
    best, study = watched.folder / "runs" / "tiny" / "best", study_at(base)
    metrics = json.loads((best / "metrics.json").read_text())
    plots = {
        plot["id"]: json.loads(plot["graph_object"]) for plot in study["plotly_graph_objects"]
    }
    matrix = plots["test-confusion-matrix"]["data"][0]["text"]
    assert matrix == metrics["test"]["confusion_matrix"]
    assert plots["final-training"]["data"][0]["y"] == metrics["curves"]["train_loss"]
    files = {
        artifact["filename"]: get(f"{base}/artifacts/1/{artifact['artifact_id']}")
        for artifact in study["artifacts"]
    }
    assert set(files) == {"config.toml", "metrics.json", "model-card.md", "report.html"}
    assert files["config.toml"] == (best / "config.toml").read_bytes()


def test_a_browser_shows_it(watched, base, browser) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    faults = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(f"{base}/dashboard/studies/1")
    page.wait_for_selector("text=Test images by true and predicted class")
    page.wait_for_selector("text=Final training: loss and accuracy")
    page.wait_for_selector("text=model-card.md")
    page.goto(f"{base}/dashboard/studies/1/note")
    page.wait_for_selector(
        f"strong:has-text('Finished: {watched.trials} of {watched.trials} trials done')"
    )
    assert page.locator("table").count() == 2
    page.goto(f"{base}/dashboard/studies/1/trials?numbers=0")
    page.wait_for_selector("strong:has-text('Complete')")
    assert page.locator("pre").first.inner_text().startswith(tuple("\u2581\u2582\u2583\u2584"))
    text = page.inner_text("body")
    assert "| --- |" not in text
    assert "convsearch writes" not in text
    assert faults == []
    page.close()


def test_run_again_nothing_piles_up(watched, base) -> None:
    before, folder = study_at(base), watched.folder
    metrics = read_metrics(folder / "runs" / "tiny" / "best")
    process = start(folder, watched.trials)
    output = finished(process)
    assert f"study 'tiny' is complete with {watched.trials} trials" in output
    assert f"optuna-dashboard sqlite:///{folder}/runs/tiny/study.db --artifact-dir" in output
    after = study_at(base)
    for key in ("note", "artifacts", "trials"):
        assert after[key] == before[key]
    assert len(list((folder / "runs/tiny/artifacts").iterdir())) == 4
    assert read_metrics(folder / "runs" / "tiny" / "best") == metrics


def test_event_files_of_the_whole_search(watched) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="event files: tensorboard is not installed",
    )
    folder = watched.folder / "runs" / "tiny" / "tensorboard"
    names = {path.name for path in folder.iterdir()}
    assert names == {"final", *(f"trial-{i:04d}" for i in range(watched.trials))}
    events = accumulator.EventAccumulator(str(folder / "final")).Reload()
    assert [scalar.step for scalar in events.Scalars("loss/train")] == list(
        range(1, TRAINING["epochs"] + 1)
    )
    assert "accuracy/validation" not in events.Tags()["scalars"]


def break_notes(path: Path) -> None:
    """From now on the database takes no more notes."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE study_system_attributes RENAME COLUMN value_json TO gone")
        database.commit()


def test_a_report_that_cannot_be_drawn_is_a_warning(tiny_plan, capsys) -> None:
    plan = tiny_plan()
    make_or_resume(plan.place, plan.purpose())
    (plan.folder / "report").write_text("this is no folder")
    _draw([plan.place])
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch("warning: the report could not be drawn .*python -m reports.run.*\n", err)
    assert "FileExistsError" in (plan.folder / "search.log").read_text()


def test_the_warning_comes_once(tiny_plan) -> None:
    plan = tiny_plan()
    said, log = [], EventLog(plan.folder)
    watch = Watch(plan, make_or_resume(plan.place, plan.purpose()), log, said.append)
    watch.end(None)
    assert said == []
    break_notes(plan.folder / "study.db")
    watch.end(read_metrics(OLD_EXPORT))
    watch.end(None)
    (line,) = said
    assert "notes and files are not up to date (StorageInternalError, see search.log)" in line
    text = log.path.read_text()
    assert len(re.findall(r"^\S+ Traceback", text, re.MULTILINE)) == 1
    assert "study_system_attr" in text
