"""What optuna-dashboard shows of a search: its process, notes, plots of the model, files."""

import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from optuna.study import Study

from records.evaluation import class_warnings
from records.metrics import Metrics, exported, figures
from records.trial import TrialRecord
from records.words import OBJECTIVES, of_method
from search.display.beside import of_front
from search.display.progress import EventLog
from search.display.summary import Counts, count, plan_lines
from search.plan import Plan
from studies.attributes import TEST_EVALUATIONS, trial_records
from studies.dashboard.artifacts import artifacts_folder, attach
from studies.dashboard.notes import DashboardNotes, Rows, study_note
from studies.storage import shown
from studies.study import Place

# Seconds between two updates of the notes, at least; the dashboard reads them every ten.
_EVERY = 2.0
# Share of the time that keeping the notes may take; with many trials, it is done less often.
_SHARE = 0.02


@dataclass
class Watch:
    """Keeps notes, plots and files of a study up to date; a search never fails because of it."""

    plan: Plan
    study: Study
    log: EventLog  # Where to write what went wrong.
    say: Callable[[str], None]
    doing: str = "searching"  # What the search is doing, for the notes.
    _next: float = 0.0
    _complained: bool = False

    def __post_init__(self) -> None:
        self._notes = DashboardNotes(self.study, OBJECTIVES[self.plan.config.study.objective])

    def update(self) -> None:
        """Bring the notes up to date, if the last time is long enough ago; call it often."""
        now = time.monotonic()
        if now < self._next:
            return
        self._safely(self._write_notes, None)
        spent = time.monotonic() - now
        self._next = time.monotonic() + max(_EVERY, spent / _SHARE)

    def end(self, metrics: Metrics | None) -> None:
        """The session ends, with the metrics of the exported model, if there is one (yet)."""
        self.doing = "stopped" if metrics is None else "finished"
        self._safely(self._write_notes, metrics)
        if metrics is not None:
            self._safely(self._show_model, metrics)

    def _write_notes(self, metrics: Metrics | None) -> None:
        if metrics is None and self.study.user_attrs.get(TEST_EVALUATIONS):
            # What this study exported before it went on.
            metrics = exported(self.plan.folder / "best")
        result = [] if metrics is None else model_rows(metrics)
        trials = trial_records(self.study)
        state = list(_state(self.doing, count(trials, self.plan.total), trials))
        note = study_note(self.plan.name, state, plan_lines(self.plan), result)
        self._notes.update(note, trials)

    def _show_model(self, metrics: Metrics) -> None:
        # Loads plotly and the dashboard, which nobody should have to wait for before the end.
        from studies.dashboard.plots import save_plots

        save_plots(self.study, metrics)
        attach_results(self.study, self.plan.place)

    def _safely(self, show: Callable[[Any], None], what: object) -> None:
        try:
            show(what)
        # Whatever it is, it is not worth the search.
        except Exception as error:  # noqa: BLE001
            if not self._complained:
                self._complained = True
                self.log.write(traceback.format_exc().rstrip())
                self.say(
                    f"optuna-dashboard's notes and files are not up to date "
                    f"({type(error).__name__}, see search.log); the search goes on"
                )


def model_rows(metrics: Metrics) -> Rows:
    """What the notes say of an exported model, what is wrong with it first."""
    warned = [("WARNING", warning) for warning in class_warnings(metrics.test)]
    kind = of_method(str(metrics.training.get("method")))
    return [*warned, ("winner", f"trial {metrics.trial}{kind}"), *figures(metrics)]


def _state(doing: str, counts: Counts, trials: Sequence[TrialRecord]) -> Iterator[str]:
    """The sentences about where the study stands."""
    yield f"{doing.capitalize()}: {counts.of_total()} done"
    yield f"{counts.by_state()}."
    yield f"Best: {counts.best_so_far()}."
    if counts.front:
        yield f"Front: {'; '.join(of_front(counts.front))}."
    ended = [(trial.ended, trial.number) for trial in trials if trial.ended is not None]
    if ended:
        when, number = max(ended)
        yield f"Trial {number} was the last to end, at {when:%Y-%m-%d %H:%M:%S}."


@contextmanager
def dashboard(place: Place, *, wanted: bool) -> Iterator[str | None]:
    """Serve the study for as long as the block lasts, if it is wanted; the study must exist.

    Yields:
        Where it answers; None if it is not wanted, or did not start, which stops no search.
    """
    if not wanted:
        yield None
        return
    artifacts = str(artifacts_folder(place.folder))
    words = ["-m", "studies.dashboard", "--storage", "-", "--artifacts", artifacts]
    process = subprocess.Popen(
        [sys.executable, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        # Not as an argument: a URL can hold a password, and everybody sees arguments.
        process.stdin.write(f"{place.url}\n".encode(errors="surrogateescape"))
        process.stdin.flush()
        yield process.stdout.readline().decode().strip() or None
    finally:
        process.terminate()
        process.communicate()


def how_to_watch(place: Place, url: str | None) -> str:
    """The address of the dashboard, or the command that starts one."""
    if url is not None:
        return f"watch   {url}"
    words = [shown(place.url), "--artifact-dir", str(artifacts_folder(place.folder))]
    return f"watch   optuna-dashboard {shlex.join(words)}"


def attach_results(study: Study, place: Place) -> None:
    """Attach the winner's config, card and report, as far as they are there, to the study.

    It can be done again and again, and nothing piles up.
    """
    files = {
        "config.toml": place.folder / "best" / "config.toml",
        "metrics.json": place.folder / "best" / "metrics.json",
        "model-card.md": place.folder / "best" / "README.md",
        "report.html": place.folder / "report" / "index.html",
    }
    attach(study, place, files)
