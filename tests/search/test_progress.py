import io

from records.command_line import LastingOutput
from records.outcome import Cause, EpochRecord, Outcome, State
from records.trial import TrialRecord
from search.display.progress import LiveDisplay, PlainLines
from search.display.summary import count
from search.workers.events import Began, Ended, EpochEnded, WorkerLost


def record(number: int, state: str, value: float | None = None) -> TrialRecord:
    return TrialRecord(
        number=number, index=number, state=state, accuracy=value,
        params={"lr": 0.123456, "depth": 2}, config=None, curve={}, history={},
        reason=None, started=None, ended=None,
    )  # fmt: skip


def ended(job: str, state: State, accuracy: float | None, *why: object) -> Ended:
    history = [] if accuracy is None else [epoch(accuracy)]
    return Ended(job, Outcome(state, tuple(history), *why))


def epoch(accuracy: float) -> EpochRecord:
    return EpochRecord(
        epoch=1, train_loss=1.0, train_accuracy=0.5, val_loss=1.0, val_accuracy=accuracy, lr=0.1,
        seconds=1.0, images=100,
    )  # fmt: skip


COUNTS = count(
    [record(0, "complete", 0.5), record(1, "pruned", 0.2), record(2, "running")], total=9
)


def drawn(display: LiveDisplay, text: io.StringIO) -> str:
    """What a redraw puts on the screen."""
    text.truncate(0)
    display._live.refresh()
    return text.getvalue()


def test_the_live_display_shows_where_the_search_stands() -> None:
    text = io.StringIO()
    display = LiveDisplay(LastingOutput(text), force_terminal=True, width=120)
    display.counts(COUNTS, 150.0)
    display.event(1, Began("trial 2", "convnet width 16, lr 0.12", 8))
    assert "0/8" in drawn(display, text)
    display.event(1, EpochEnded("trial 2", 3, 0.4321, 4567.8))
    screen = drawn(display, text)
    for part in ("2 of 9 trials: 1 complete, 1 pruned, 0 failed, 1 running, about 2 min 30 s left",
                 "best so far: 50.00% (trial 0: lr 0.1235, depth 2)", "trial 2", "3/8", "43.21%",
                 "4,568", "convnet width 16, lr 0.12"):  # fmt: skip
        assert part in screen, part
    display.event(1, ended("trial 2", State.COMPLETE, 0.5))
    assert "43.21%" not in drawn(display, text)
    display.close()


def test_the_live_display_keeps_what_went_wrong_on_the_screen() -> None:
    text = io.StringIO()
    display = LiveDisplay(LastingOutput(text), force_terminal=True, width=120)
    display.event(0, ended("trial 3", State.FAILED, None, Cause.ERROR, "ValueError: [bad] markup"))
    display.event(0, ended("trial 4", State.PRUNED, 0.1, Cause.DIVERGED, "diverged, as a rule"))
    display.event(0, ended("trial 5", State.PRUNED, 0.1, Cause.RULE, "median rule after epoch 2"))
    display.event(0, WorkerLost("worker 0 died (exit code -9); another one takes over"))
    display.close()
    screen = text.getvalue()
    assert "trial 3 failed (ValueError: [bad] markup)" in screen
    assert "trial 4 pruned at 10.00% (diverged, as a rule)" in screen
    assert "trial 5" not in screen
    assert "worker 0 died" in screen


def test_plain_lines_are_one_per_trial_and_one_per_new_best(capsys) -> None:
    display = PlainLines()
    display.event(0, Began("trial 0", "convnet", 8))
    display.event(0, EpochEnded("trial 0", 1, 0.4, 100.0))
    display.event(0, ended("trial 0", State.COMPLETE, 0.5))
    for _ in range(2):
        display.counts(COUNTS, None)
    display.event(0, ended("trial 1", State.PRUNED, 0.2, Cause.RULE, "median rule after epoch 2"))
    assert capsys.readouterr().out.splitlines() == [
        "trial 0 complete at 50.00%",
        "[2/9] best so far: 50.00% (trial 0: lr 0.1235, depth 2)",
        "[2/9] trial 1 pruned at 20.00% (median rule after epoch 2)",
    ]
