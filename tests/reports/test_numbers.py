"""The numbers behind the page, compared with what can be worked out by hand or by others."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import kendalltau

from records.evaluation import ClassQuality
from records.outcome import Cause
from records.statistics import calibration_error
from records.trial import TrialRecord
from reports.figures.classes import confusion
from reports.figures.model import training
from reports.numbers import best_so_far
from reports.numbers.cost import busy_spans, busy_until, cost, course, expected_best, more
from reports.numbers.diagnosis import pruning, seeds
from reports.numbers.findings import findings
from reports.numbers.model import most_confused, reliability, row_shares
from reports.numbers.parameters import ranges
from reports.numbers.summary import summarise
from reports.numbers.trials import curves, history, pruning_checks, timeline
from reports.source import read_source
from space import parse_space
from studies.algorithms import build_pruner
from studies.attributes import FURTHER
from studies.config import StudyConfig
from studies.study import find
from tests.reports.making import make_study, trial

START = datetime(2026, 3, 1, tzinfo=UTC)


def record(number: int, state="complete", curve=(), **about) -> TrialRecord:
    """A trial that starts at ten times its number and lasts ten seconds."""
    begin = START + timedelta(seconds=about.get("start", 10 * number))
    values = dict(enumerate(curve, 1))
    return TrialRecord(
        number=number, index=number, state=state,
        accuracy=curve[-1] if curve and state in ("complete", "pruned") else None,
        params=about.get("params", {}), config=None, curve=values,
        history={"images": [100.0] * len(curve)}, cause=about.get("cause"),
        reason=about.get("reason"), started=begin,
        ended=None if state == "running" else begin + timedelta(seconds=about.get("lasts", 10)),
        worker=about.get("worker", "box:1"),
    )  # fmt: skip


TRIALS = [
    record(0, curve=(0.3, 0.5, 0.6)),
    record(1, curve=(0.4, 0.5, 0.8)),
    record(2, "pruned", (0.1, 0.2), reason="median rule after epoch 2"),
    record(3, "requeued", (0.2,)),
    record(4, curve=(0.2, 0.6, 0.7)),
    record(5, "failed", (), reason="OSError: disk"),
]


def test_history_knows_the_best_so_far() -> None:
    points = history(TRIALS)
    assert [p.number for p in points] == [0, 1, 2, 4, 5]
    assert [p.best for p in points] == [0.6, 0.8, 0.8, 0.8, 0.8]
    assert [p.value for p in points] == [0.6, 0.8, 0.2, 0.7, None]
    assert best_so_far([None, 1.0, None, 0.5]) == [None, 1.0, 1.0, 1.0]


def test_kinds_follow_what_trainings_say_of_themselves() -> None:
    kinds = {cause: record(0, "pruned", (0.1,), cause=cause).kind for cause in Cause}
    assert kinds.pop(Cause.RULE) == "pruned"
    assert all(kind == cause.value for cause, kind in kinds.items())
    assert {"diverged", "out of memory", "timed out"} <= set(kinds)
    assert record(0, "pruned", (0.1,)).kind == "pruned"
    assert record(0, "failed", cause=Cause.DIVERGED).kind == "failed"
    # What is said in words decides nothing.
    assert record(0, "pruned", (0.1,), cause=Cause.RULE, reason="diverged").kind == "pruned"
    counts = cost([record(n, "pruned", (0.1,), cause=c) for n, c in enumerate(Cause)], 9, 1).counts
    assert counts == {"pruned": 1, **dict.fromkeys(kinds.values(), 1)}


def test_cost_counts_what_was_trained_once() -> None:
    paid = cost(TRIALS, 10, 3)
    assert (paid.done, paid.total, paid.epochs, paid.full_epochs) == (4, 10, 11, 12)
    assert paid.counts == {"complete": 3, "pruned": 1, "requeued": 1, "failed": 1}
    assert paid.pruned_share == pytest.approx(0.25)
    assert paid.epochs_saved == pytest.approx(1 / 12)
    assert (paid.trial_seconds, paid.busy_seconds, paid.images) == (60, 60, 1100)
    nothing = cost([], None, None)
    assert (nothing.pruned_share, nothing.epochs_saved, nothing.busy_seconds) == (None, None, 0)


def test_pauses_do_not_count_as_time() -> None:
    trials = [
        record(n, start=start, lasts=lasts)
        for n, (start, lasts) in enumerate([(50, 10), (0, 20), (10, 20)])
    ]
    at = [START + timedelta(seconds=s) for s in range(0, 100, 10)]
    spans = busy_spans(trials)
    assert spans == [(at[0], at[3]), (at[5], at[6])]
    assert [busy_until(spans, at[i]) for i in (1, 4, 6, 9)] == [10, 30, 40, 40]


def test_the_course_is_in_the_order_of_ends() -> None:
    trials = [
        record(0, curve=(0.5, 0.6), start=20), record(1, curve=(0.4, 0.5), start=0),
        record(2, "pruned", (0.1,), start=100),
    ]  # fmt: skip
    assert [(s.trials, s.seconds, s.epochs, s.best) for s in course(trials)] == [
        (1, 10, 2, 0.5), (2, 20, 4, 0.6), (3, 30, 5, 0.6),
    ]  # fmt: skip


def test_workers_that_follow_one_another_share_a_lane() -> None:
    trials = [
        record(0, start=0, worker="a:1"), record(1, start=5, worker="a:2"),
        record(2, start=50, worker="a:3"), record(3, "running", start=60, worker="b:1"),
    ]  # fmt: skip
    found = timeline(trials, START + timedelta(seconds=90))
    assert found.lanes == ("a, worker 1", "a, worker 2", "b, worker 1")
    assert [bar.lane for bar in found.bars] == [0, 1, 0, 2]
    assert found.bars[3].end == START + timedelta(seconds=90)
    assert timeline(trials[:1], START).lanes == ("worker 1",)


def test_the_pruning_threshold_is_the_median_of_the_complete_trials() -> None:
    drawn = curves(TRIALS, 3, "median", 0.75, 1 / 6)
    assert [(p.value, p.n) for p in drawn.thresholds] == [(0.3, 3), (0.5, 3), (0.7, 3)]
    assert drawn.checks == (2,)
    assert [c.number for c in drawn.curves] == [0, 1, 2, 4]
    wide = curves(TRIALS, 3, "percentile", 0.75, 1 / 6)
    assert wide.thresholds[2].value == pytest.approx(0.65)
    assert curves(TRIALS, 3, "none", 0.75, 1 / 6).thresholds == ()


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 8, 20, 50])
def test_pruning_checks_are_when_the_pruner_checks(epochs) -> None:
    pruner = build_pruner(StudyConfig(startup_trials=0), epochs)
    first, every = pruner._n_warmup_steps, pruner._interval_steps
    assert pruning_checks(1 / 6, epochs) == tuple(range(first, epochs, every))


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    broken = record(0, curve=(0.5, float("nan"), 0.6))
    assert curves([broken], 3, "median", 0.75, 1 / 6).curves[0].values == (0.5, None, 0.6)
    assert [p.epoch for p in curves([broken], 3, "median", 0.75, 1 / 6).thresholds] == [1, 3]
    assert history([record(0, "pruned", (0.5, float("nan")))])[0].value == 0.5
    assert history([record(0, curve=(0.5, float("inf")))])[0].best is None


def test_early_results_against_late_ones() -> None:
    random = np.random.default_rng(0)
    data = random.normal(size=(12, 2))
    trials = [record(n, curve=(a, b)) for n, (a, b) in enumerate(data.tolist())]
    found = pruning(trials, (1,), {1: 0.0}, 2)
    (early,) = found.early
    assert found.first_check == early
    assert early.n == 12
    assert early.swapped == pytest.approx((1 - kendalltau(*data.T).statistic) / 2)
    now, final = data.T
    assert early.leader_rank == 1 + (final > final[now.argmax()]).sum()
    assert early.winner_rank == 1 + (now > now[final.argmax()]).sum()
    best = sorted(data.tolist(), key=lambda pair: -pair[1])[:5]
    assert found.below_threshold == sum(now < 0 for now, _ in best)
    assert pruning(TRIALS[:2], (2,), {}, 3).first_check is None


def test_equal_results_have_no_rank_correlation() -> None:
    found = pruning([record(n, curve=(0.5, n / 10)) for n in range(4)], (1,), {}, 2)
    assert found.early[0].correlation is None
    assert found.early[0].swapped == 0.5


SPACE = parse_space(
    "test",
    {
        "lr": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
        "dropout": {"type": "float", "low": 0.0, "high": 0.5},
        "kind": {"type": "choice", "choices": ["a", "b"]},
    },
)


def test_values_at_the_edge_of_a_range_are_found() -> None:
    def with_params(*points):
        return [
            record(n, curve=(1 - n / 10,), params={"lr": lr, "dropout": d, "kind": "a"})
            for n, (lr, d) in enumerate(points)
        ]

    lr, dropout = ranges(with_params((0.95, 0.0), (0.1, 0.0), (0.9, 0.01)), SPACE)
    assert lr.positions == pytest.approx((0.989, 0.5, 0.977), abs=1e-3)
    assert (lr.edge, lr.at_high, lr.best) == ("high", pytest.approx(2 / 3), 0.95)
    assert dropout.at_low == 1.0
    assert dropout.edge is None  # Nothing lies below 0.
    assert ranges(with_params((0.1, 0.2), (0.99, 0.2), (0.99, 0.2)), SPACE)[0].edge is None
    assert ranges([], SPACE)[0].edge is None


def test_the_spread_over_seeds_against_the_lead() -> None:
    found = seeds({3: [0.80, 0.82], 5: [0.90, 0.94], 7: []}, [record(5, curve=(0.95,))])
    assert [c.number for c in found.candidates] == [5, 3]
    assert found.candidates[0].searched == 0.95
    assert found.spread == pytest.approx(np.sqrt((0.0002 + 0.0008) / 2))
    assert found.lead == pytest.approx(0.11)
    assert found.needed == pytest.approx(found.spread * 4.302653, rel=1e-5)  # t(0.975, 2)
    alone = seeds({3: [0.8]}, [])
    assert (alone.spread, alone.lead, alone.needed) == (None, None, None)


def test_the_winner_is_said_to_be_as_good_as_seeds_that_did_not_choose_it(tmp_path) -> None:
    trials = [trial(n, curve=[0.1 * n]) for n in range(5)]
    confirmed = {3: [0.34, 0.36], 4: [0.29, 0.31]}
    place = make_study(tmp_path, trials, confirmed=confirmed)
    winner = summarise(read_source(place)).winner
    assert (winner.trial, winner.gap_of) == (3, "trial 4")
    assert winner.selection_gap == pytest.approx(0.1)
    (claim,) = winner.estimates
    assert (claim.low, claim.interval) == (
        None,
        "no interval, since it is of the best of 5 trials",
    )
    for seed, accuracy in enumerate([0.31, 0.33]):
        find(place).set_user_attr(FURTHER.format(trial=3, seed=seed), accuracy)
    winner = summarise(read_source(place)).winner
    assert winner.estimates[1].accuracy == pytest.approx(0.32)


@pytest.mark.parametrize(("n", "verdict"), [(20, "warning"), (200, "good")])
def test_few_validation_images_are_a_finding(made, n, verdict) -> None:
    summary = summarise(read_source(made)).model_copy(update={"validation_images": n})
    found = {f.key: f for f in findings(summary)}["validation"]
    assert found.verdict == verdict
    assert ("one of them is 5.0%" in found.text) == (n == 20)


def test_the_best_by_chance_is_the_mean_over_all_orders() -> None:
    values = [0.3, 0.9, None, 0.5]
    lowest = [0.3 if v is None else v for v in values]
    orders = np.array(list(permutations(lowest)))
    expected = np.maximum.accumulate(orders, axis=1).mean(0)
    np.testing.assert_allclose(expected_best(values), expected)
    assert expected_best([None, None]) == []
    long = expected_best(np.linspace(0, 1, 1000).tolist())
    assert long[0] == pytest.approx(0.5)
    assert long[-1] == pytest.approx(1.0)


def test_what_the_last_half_brought() -> None:
    found = more([record(n, curve=(n / 10,)) for n in range(10)])
    assert found.last_gain == pytest.approx(0.5)
    assert more([record(0, curve=(0.5,))]).last_gain is None


def test_reliability_has_the_calibration_error_of_the_export() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(500, 4)) * 2
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = random.integers(0, 4, 500)
    found = reliability(labels, probabilities)
    assert found.error == pytest.approx(calibration_error(labels, probabilities))
    assert sum(b.n for b in found.bins) == found.n == 500
    assert found.accuracy == (probabilities.argmax(1) == labels).mean()
    assert found.bins[0].accuracy is None


def test_confusions_are_counted() -> None:
    matrix = [[8, 2, 0], [5, 5, 0], [0, 0, 0]]
    assert row_shares(matrix) == [[0.8, 0.2, 0.0], [0.5, 0.5, 0.0], [None, None, None]]
    first, second = most_confused(matrix, ["a", "b", "c"], 5)
    assert (first.true, first.predicted, first.n, first.share) == ("b", "a", 5, 0.5)
    assert (second.true, second.predicted, second.n) == ("a", "b", 2)


def test_figures_take_plain_numbers() -> None:
    cells = confusion([[1, 0], [0, 1]], ["a", "<b>"], shares=False).figure.data[0]
    assert cells.y == ("a", "&lt;b&gt;")
    drawn = training({"epoch": [1.0], "train_loss": [2.0], "train_accuracy": [0.5]})
    assert len(drawn.figure.data) == 3
    assert ClassQuality(precision=1, recall=1, f1=1, n=2).n == 2


def test_findings_say_what_to_do(made) -> None:
    summary = summarise(read_source(made))
    found = {f.key: f for f in findings(summary)}
    assert list(found) == [
        "classes", "ranges", "outcomes", "pruning", "validation", "seeds", "more"
    ]  # fmt: skip
    assert "1 diverged (4%), 1 failed (4%)" in found["outcomes"].text
    assert "At the first pruning check, after epoch 2" in found["pruning"].text
    assert "a rank correlation of 1.00; 0% of all pairs swap later" in found["pruning"].text
    assert "leads by 1.67 points on average (n = 3 seeds each)" in found["seeds"].text
    assert found["seeds"].verdict == "warning"
    assert "more seeds" in found["seeds"].advice
