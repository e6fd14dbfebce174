"""Where the time of a search's trials went: training steps, the rest of the trial, between trials.

    python -m benchmarks.outside_steps runs/STUDY

"The rest of the trial" is everything from asking for it to telling its result but the training
steps: sampling, starting the training, validation, reports, checkpoints, events. Only complete
trials of one worker are looked at, so that each follows upon the one before.
"""

import argparse
import statistics
from pathlib import Path

from benchmarks.measure import head
from records.trial import TrialRecord
from studies.attributes import trial_records
from studies.study import Place, find


def main() -> None:
    """Print a line per trial and the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("run", type=Path, help="the folder of a study")
    folder = parser.parse_args().run
    trials = trial_records(find(Place(folder.name, folder)))
    complete = [trial for trial in trials if trial.state == "complete"]
    print(head())
    print("trial    seconds  training steps  the rest  share  since the trial before")
    for trial in complete:
        _line(trial, _pause(trial, trials))
    shares = [1 - _steps(trial) / (trial.seconds or 0.0) for trial in complete]
    pauses = [pause for trial in complete if (pause := _pause(trial, trials)) is not None]
    print(
        f"outside training steps: median {statistics.median(shares):.2%}, "
        f"{min(shares):.2%} to {max(shares):.2%} (n = {len(shares)} complete trials); "
        f"between trials: median {1000 * statistics.median(pauses):.0f} ms (n = {len(pauses)})"
    )


def _line(trial: TrialRecord, pause: float | None) -> None:
    took, steps = trial.seconds or 0.0, _steps(trial)
    since = "" if pause is None else f"{pause:.3f} s"
    print(
        f"{trial.number:5}  {took:9.2f}  {steps:14.2f}  {took - steps:8.2f}"
        f"  {1 - steps / took:5.2%}  {since}"
    )


def _steps(trial: TrialRecord) -> float:
    return sum(seconds or 0.0 for seconds in trial.history["seconds"])


def _pause(trial: TrialRecord, trials: list[TrialRecord]) -> float | None:
    """Seconds since the end of the trial before in the same process; None for its first."""
    before = [t for t in trials if t.number < trial.number and t.worker == trial.worker]
    if not before or before[-1].ended is None or trial.started is None:
        return None
    return (trial.started - before[-1].ended).total_seconds()


if __name__ == "__main__":
    main()
