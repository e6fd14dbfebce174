"""Replay search policies on recorded learning curves: what is found, against epochs spent.

    python -m benchmarks.replay curves.jsonl.gz [--images N] [--repeats 200]
        [--trials 12 25 50 100] [--only NAME ...] [--method fine_tune] [--page replay.html]

`benchmarks.curves` records the file. Between its points, a Gaussian process says what a training
would come to (`benchmarks.surrogate`); its error on points that it had not seen is printed first,
and so is whether early epochs rank the end as they did in fact. Each policy then searches many
times, and what counts is the true accuracy of the configuration that it chooses: that which the
model learned from the test images, without noise. Intervals are of 95 % over repeats; they say
nothing of the model's own error.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from benchmarks.curve_file import read_curves
from benchmarks.policies import Policy, Result, run
from benchmarks.surrogate import Check, World, learn

_SLOW = ("gp",)  # Samplers that take a tenth of a second for every trial, or more.
_FEWER = 10  # How many times fewer repeats they get.


def _study(
    pruner: str, startup: int = 10, after: float = 1 / 6, **more: object
) -> dict[str, object]:
    return {"pruner": pruner, "startup_trials": startup, "prune_after": after, **more}


POLICIES = (
    Policy("random, to the end", "random", near=0),
    Policy("recipe first, random", "random"),
    Policy("recipe first, Sobol", "qmc"),
    Policy("recipe first, TPE, each parameter alone", "tpe-single"),
    Policy("recipe first, TPE", "tpe"),
    Policy("5 points near the recipe, TPE", "tpe", near=5),
    Policy("10 points near the recipe, TPE", "tpe", near=10),
    Policy("TPE without the recipe", "tpe", near=0),
    Policy("recipe first, Gaussian process", "gp"),
    Policy("recipe first, CMA-ES", "cmaes"),
    Policy("TPE, median (the default)", study=_study("median")),
    Policy("TPE, median from trial 5", study=_study("median", 5)),
    Policy("TPE, median from half-way", study=_study("median", after=0.5)),
    Policy("TPE, best quarter kept", study=_study("percentile", keep=0.25)),
    Policy("TPE, worst quarter stopped", study=_study("percentile", keep=0.75)),
    Policy("TPE, successive halving", study=_study("successive-halving")),
    Policy("TPE, hyperband", study=_study("hyperband")),
    Policy("random, one epoch, then the best tenth", "random", stops="first-epoch"),
    Policy("Sobol, one epoch, then the best tenth", "qmc", stops="first-epoch"),
    Policy("TPE, one epoch, then the best tenth", stops="first-epoch"),
    Policy("random, promotion", "random", stops="promote"),
    Policy("TPE, promotion", stops="promote"),
    Policy("10 near the recipe, promotion", stops="promote", near=10),
    Policy("TPE, median, confirmed 3 x 3", study=_study("median"), confirm=(3, 3)),
    Policy("TPE, median, confirmed 5 x 2", study=_study("median"), confirm=(5, 2)),
    Policy("TPE, median, confirmed 5 x 5", study=_study("median"), confirm=(5, 5)),
    Policy("TPE, promotion, confirmed 3 x 3", stops="promote", confirm=(3, 3)),
)
BASELINE = POLICIES[0]


class Row(NamedTuple):
    """A policy after so many trials, over all repeats.

    Attributes:
        policy: Its name.
        trials: How many it began.
        epochs: How many it paid for, on average, confirmations included.
        truth: The true accuracy of what it chose, on average.
        error: The standard error of that.
        repeats: How many searches these are means of.
    """

    policy: str
    trials: int
    epochs: float
    truth: float
    error: float
    repeats: int


def rows_of(policy: Policy, searches: Sequence[Sequence[Result]]) -> Iterator[Row]:
    """One row for each number of trials; `searches` are the repeats."""
    for results in zip(*searches, strict=True):
        truth = np.array([r.truth for r in results])
        error = truth.std(ddof=1) / len(truth) ** 0.5 if len(truth) > 1 else float("nan")
        epochs = float(np.mean([r.epochs for r in results]))
        trials = results[0].trials
        yield Row(policy.name, trials, epochs, float(truth.mean()), float(error), len(truth))


def epochs_to(rows: Sequence[Row], wanted: float) -> float | None:
    """Epochs after which a policy's mean reaches an accuracy; None = it does not.

    Between two rows it is taken to rise evenly with the logarithm of the epochs.
    """
    before: Row | None = None
    for row in sorted(rows, key=lambda row: row.epochs):
        if row.truth >= wanted:
            if before is None or before.truth >= row.truth:
                return row.epochs
            share = (wanted - before.truth) / (row.truth - before.truth)
            return float(before.epochs * (row.epochs / before.epochs) ** share)
        before = row
    return None


def replay(
    world: World, policies: Sequence[Policy], counts: Sequence[int], repeats: int, processes: int
) -> list[Row]:
    """All policies, with all repeats."""
    rows: list[Row] = []
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        each = pool.map if processes > 1 else map
        for policy in policies:
            fewer = max(2, repeats // _FEWER) if policy.sampler in _SLOW else repeats
            chunk = -(-fewer // (4 * processes))
            parts = [range(n, min(n + chunk, fewer)) for n in range(0, fewer, chunk)]
            found = each(partial(_repeated, world, policy, counts), parts)
            rows += rows_of(policy, [own for part in found for own in part])
            print(f"{policy.name}: {rows[-1].truth:.2%}", file=sys.stderr, flush=True)
    return rows


def _repeated(
    world: World, policy: Policy, counts: Sequence[int], seeds: range
) -> list[list[Result]]:
    return [run(world, policy, counts, seed) for seed in seeds]


def table(world: World, rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a table, and when each policy is as good as the baseline at its ends."""
    best = max(world.best, max(row.truth for row in rows))
    baseline = [row for row in rows if row.policy == BASELINE.name]
    marks = [row for row in baseline if row.trials in {r.trials for r in baseline[-2:]}]
    reach = "".join(f" epochs to random's {row.trials} |" for row in marks)
    yield f"| policy | trials | epochs | true accuracy (95 %) | regret, points | n |{reach}"
    yield "| --- " * (6 + len(marks)) + "|"
    for row in rows:
        own = [r for r in rows if r.policy == row.policy]
        ends = "".join(f" {_count(epochs_to(own, mark.truth))} |" for mark in marks)
        shown = ends if row is own[-1] else " |" * len(marks)
        accuracy = f"{row.truth:.2%} ± {100 * 1.96 * row.error:.2f}"
        yield (
            f"| {row.policy} | {row.trials} | {row.epochs:,.0f} | {accuracy} | "
            f"{100 * (best - row.truth):.2f} | {row.repeats} |{shown}"
        )


def _count(epochs: float | None) -> str:
    return "-" if epochs is None else f"{epochs:,.0f}"


def page(rows: Sequence[Row], path: Path) -> None:
    """Accuracy against epochs as a page that needs no network."""
    figure = go.Figure()
    for name in dict.fromkeys(row.policy for row in rows):
        own = sorted((row for row in rows if row.policy == name), key=lambda row: row.epochs)
        bars = {"type": "data", "array": [1.96 * row.error for row in own]}
        x, y = [row.epochs for row in own], [row.truth for row in own]
        figure.add_trace(go.Scatter(x=x, y=y, error_y=bars, name=name, mode="lines+markers"))
    figure.update_xaxes(type="log", title="epochs spent")
    figure.update_yaxes(tickformat=".1%", title="true accuracy of what is chosen")
    figure.update_layout(template="plotly_white", height=800)
    figure.write_html(path, include_plotlyjs=True)


def said_of(check: Check) -> Iterator[str]:
    """How good a world is, in words."""
    noise = "not known" if np.isnan(check.noise) else f"{100 * check.noise:.2f} points"
    yield (
        f"the model on points that it had not seen: error {100 * check.error:.2f} points (root "
        f"mean square), rank correlation {check.rank:.3f}; what a seed changes: {noise}"
    )
    for epoch, (recorded, again) in enumerate(check.early, 1):
        yield f"epoch {epoch} ranks the end: recorded {recorded:.3f}, in the replay {again:.3f}"


def main() -> None:
    """Learn, replay, print."""
    options = _options()
    head, trainings = read_curves(options.curves)
    images = options.images or max(t.images for t in trainings)
    method = options.method or Counter(t.method for t in trainings).most_common(1)[0][0]
    world, check = learn(head, trainings, images, method)
    own = [t for t in trainings if (t.images, t.method) == (images, method)]
    print(
        f"{len(own)} trainings of {len({t.index for t in own})} points, {images:,} images of "
        f"{head.dataset}, recipe {head.recipe}, space {head.space.name}, {world.epochs} epochs"
    )
    for line in said_of(check):
        print(line)
    print(f"the best of 4,096 points in the model: {world.best:.2%}\n")
    chosen = [p for p in POLICIES if not options.only or p.name in {*options.only, BASELINE.name}]
    rows = replay(world, chosen, sorted(options.trials), options.repeats, options.processes)
    for line in table(world, rows):
        print(line)
    if options.page is not None:
        page(rows, options.page)
        print(f"\nfigure in {options.page}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("curves", type=Path, help="a file that benchmarks.curves recorded")
    parser.add_argument("--images", type=int, help="training images of the curves [the most]")
    parser.add_argument("--method", help="full, probe or fine_tune [the one with most curves]")
    parser.add_argument("--repeats", type=int, default=200, help="searches of a policy [200]")
    parser.add_argument("--trials", type=int, nargs="+", default=[12, 25, 50, 100])
    parser.add_argument("--only", nargs="+", help="names of policies [all]")
    parser.add_argument("--processes", type=int, default=2, help="searches at once [2]")
    parser.add_argument("--page", type=Path, help="an HTML page with the figure [none]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
