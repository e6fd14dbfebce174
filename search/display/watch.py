"""What people who watch the study see beside its numbers: notes, plots of the model, files."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from optuna.study import Study

from records.trial import TrialRecord
from search.display.attached import attach_results
from search.display.counts import Counts, count
from search.display.introduction import plan_lines
from search.display.log import EventLog
from search.display.progress import best_in_words
from search.export.best import read_metrics
from search.export.card import figures
from search.plan import Plan
from studies.attributes import TEST_EVALUATIONS
from studies.dashboard.notes import Rows, study_note
from studies.dashboard.writer import DashboardNotes
from studies.trials import trial_records

_EVERY = 2.0
"""Seconds between two looks at the study, at least; the dashboard looks every ten."""

_SHARE = 0.02
"""Share of the time that keeping the notes may take: with thousands of trials, it is done less
often."""


class Watch:
    """Keeps notes, plots and files of a study up to date; a search never fails because of it.

    Args:
        plan: The search.
        study: Its study.
        log: Where to write what went wrong.
        say: Gets lines for people.
    """

    def __init__(
        self, plan: Plan, study: Study, log: EventLog, say: Callable[[str], None]
    ) -> None:
        """Show nothing yet."""
        self._plan, self._study, self._log, self._say = plan, study, log, say
        self._notes = DashboardNotes(study)
        self._next, self._complained = 0.0, False
        self.doing = "searching"

    def look(self) -> None:
        """Bring the notes up to date, if the last time is long enough ago; call it often."""
        now = time.monotonic()
        if now < self._next:
            return
        self._safely(self._write_notes, None)
        spent = time.monotonic() - now
        self._next = time.monotonic() + max(_EVERY, spent / _SHARE)

    def end(self, metrics: dict[str, Any] | None) -> None:
        """The session ends.

        Args:
            metrics: The content of `best/metrics.json`; None if there is no export (yet).
        """
        self.doing = "stopped" if metrics is None else "finished"
        self._safely(self._write_notes, metrics)
        if metrics is not None:
            self._safely(self._show_model, metrics)

    def _write_notes(self, metrics: dict[str, Any] | None) -> None:
        trials = trial_records(self._study)
        counts = count(trials, self._plan.config.trials)
        shown = metrics or self._earlier()
        result = [] if shown is None else _result(shown)
        state = list(_state(self.doing, counts, trials))
        self._notes.update(
            study_note(self._plan.name, state, plan_lines(self._plan), result), trials
        )

    def _earlier(self) -> dict[str, Any] | None:
        """What this study exported before it went on, if it did."""
        exported = self._study.user_attrs.get(TEST_EVALUATIONS)
        return read_metrics(self._plan.folder / "best") if exported else None

    def _show_model(self, metrics: dict[str, Any]) -> None:
        # Loads plotly and the dashboard, which nobody should have to wait for before the end.
        from studies.dashboard.plots import save_plots

        save_plots(self._study, metrics)
        attach_results(self._study, self._plan.place)

    def _safely(self, show: Callable[[Any], None], what: object) -> None:
        try:
            show(what)
        # Whatever it is, it is not worth the search.
        except Exception as error:  # noqa: BLE001
            if not self._complained:
                self._complained = True
                self._log.write(traceback.format_exc().rstrip())
                self._say(
                    f"optuna-dashboard's notes and files are not up to date "
                    f"({type(error).__name__}, see search.log); the search goes on"
                )


def _state(doing: str, counts: Counts, trials: Sequence[TrialRecord]) -> Iterator[str]:
    """The sentences about where the study stands."""
    yield f"{doing.capitalize()}: {counts.done} of {counts.total} trials done"
    yield (
        f"{counts.complete} complete, {counts.pruned} pruned, {counts.failed} failed, "
        f"{counts.running} running."
    )
    yield f"Best: {best_in_words(counts)}."
    ended = [(trial.ended, trial.number) for trial in trials if trial.ended is not None]
    if ended:
        when, number = max(ended)
        yield f"Trial {number} was the last to end, at {when:%Y-%m-%d %H:%M:%S}."


def _result(metrics: dict[str, Any]) -> Rows:
    return [("winner", f"trial {metrics['trial']}"), *figures(metrics)]
