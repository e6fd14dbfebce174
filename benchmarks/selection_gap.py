"""How far the reported accuracy of a winner is from its true one, by simulated searches.

    python -m benchmarks.selection_gap [--searches 10000]

100 trials, whose true accuracies spread by 0.4 points (standard deviation), and so do the results
of one training with different seeds. As in a search, the best three of the 100 results are trained
with three fresh seeds each, and the best mean wins. Reported is the mean of further seeds;
"before", in version 0.1.0, it was the mean that won. The selection gap is the luck in the best of
the 100 results: of this trial; before, it was the winner's.
"""

import argparse
from typing import NamedTuple

import numpy as np

from benchmarks.measure import head
from records.outcome import State
from records.trial import TrialRecord
from search.finalize.confirm import Candidate, best_first

SPREAD = 0.004
_TRIALS, _TOP, _SEEDS = 100, 3, 3


class Searches(NamedTuple):
    """Errors of what was reported, in shares, one per search: `(searches,)` each.

    Attributes:
        after: The winner's mean with further seeds less its true accuracy.
        before: The mean by which it won less its true accuracy.
        gap_after: The reported selection gap less the luck in the best result.
        gap_before: The same as it was.
    """

    after: np.ndarray
    before: np.ndarray
    gap_after: np.ndarray
    gap_before: np.ndarray


def simulate(searches: int, further: int = _SEEDS) -> Searches:
    """Search so many times, with a fixed seed."""
    random = np.random.default_rng(0)
    return Searches(*np.array([_search(random, further) for _ in range(searches)]).T)


def _search(random: np.random.Generator, further: int) -> tuple[float, float, float, float]:
    true = 0.9 + random.normal(0, SPREAD, _TRIALS)
    results = true + random.normal(0, SPREAD, _TRIALS)
    top = [int(number) for number in np.argsort(-results)[:_TOP]]
    candidates = [
        Candidate(
            _record(n, results[n]),
            tuple(true[n] + random.normal(0, SPREAD, _SEEDS)),
            tuple(true[n] + random.normal(0, SPREAD, further)),
        )
        for n in top
    ]
    best, winner = candidates[0], best_first(candidates)[0]
    truth, luck = true[winner.trial.number], results[top[0]] - true[top[0]]
    return (
        winner.confirmed.mean - truth,
        winner.chosen_by.mean - truth,
        best.selection_gap - luck,
        winner.selection_gap - luck,
    )


def _record(number: int, accuracy: float) -> TrialRecord:
    return TrialRecord(
        number=number, index=number, state=State.COMPLETE, accuracy=accuracy, params={},
        config=None, curve={}, history={}, reason=None, started=None, ended=None,
    )  # fmt: skip


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--searches", type=int, default=10_000)
    searches = parser.parse_args().searches
    print(head())
    print(f"errors in points, n = {searches:,} searches of {_TRIALS} trials\n")
    print("| reported | mean error ± standard error | root mean square |")
    print("| --- | --- | --- |")
    found = simulate(searches)
    print(_row("winner, before: the mean that won", found.before))
    for further in (1, 2, _SEEDS):
        name = f"winner, now: the mean of further seeds, {further} of them"
        print(_row(name, simulate(searches, further).after))
    print(_row("selection gap, before: the winner's", found.gap_before))
    print(_row("selection gap, now: the best trial's", found.gap_after))


def _row(name: str, errors: np.ndarray) -> str:
    points = 100 * errors
    standard = points.std(ddof=1) / np.sqrt(len(points))
    square = np.sqrt((points**2).mean())
    return f"| {name} | {points.mean():+.3f} ± {standard:.3f} | {square:.2f} |"


if __name__ == "__main__":
    main()
