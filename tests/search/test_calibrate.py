"""`search.calibrate`: what complete trainings of random points tell, and the search that has them.

Temperature scaling, another thing, is in `test_calibration`.
"""

from itertools import combinations

import numpy as np
import optuna
import pytest
from scipy.stats import kendalltau, spearmanr

from records.trial import TrialRecord
from search.calibrate.calibration import Calibration, laid_over_all
from search.calibrate.numbers import (
    agreements,
    at_shares,
    confirmations,
    expected_best,
    kendall,
    seed_noise,
    spearman,
    trials_that_pay,
)
from search.calibrate.pruning import effects, epochs_trained
from search.calibrate.settings import calibrating, recommended
from search.calibrate.words import lines
from search.config import SearchConfig, load_search_config
from search.plan.policies import to_repeat
from search.workers.events import EpochEnded
from search.workers.trial import RunTrials
from studies.algorithms import build_pruner
from studies.attributes import trial_records
from studies.config import StudyConfig
from studies.study import make_or_resume
from tests.search.conftest import run_task

RANDOM = np.random.default_rng(0)


def curves(points: int, epochs: int, seed: int = 0) -> np.ndarray:
    """Rising scores, `(points, epochs)`, whose order is nearly that of the end."""
    random = np.random.default_rng(seed)
    ends = random.uniform(0.4, 0.8, points)
    parts = np.linspace(0.6, 1, epochs)
    return ends[:, None] * parts + random.normal(0, 0.02, (points, epochs))


def record(index: int, curve, params, state="complete") -> TrialRecord:
    return TrialRecord(
        number=index, index=index, state=state, accuracy=curve[-1], params=params, config=None,
        curve=dict(enumerate(curve, 1)), history={}, reason=None, started=None, ended=None,
    )  # fmt: skip


def test_rank_correlations_are_those_of_scipy() -> None:
    x, y = RANDOM.integers(0, 5, (2, 3, 12)).astype(float)
    for measure, reference in ((spearman, spearmanr), (kendall, kendalltau)):
        expected = [reference(a, b).statistic for a, b in zip(x, y, strict=True)]
        assert measure(x, y) == pytest.approx(expected)
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_agreement_has_an_interval_and_grows_to_the_end() -> None:
    found = agreements(curves(24, 4))
    assert [a.epoch for a in found] == [1, 2, 3]
    assert found[-1].share == 0.75
    for a in found:
        assert a.spearman.low < a.spearman.value < a.spearman.high
        assert a.kendall.low < a.kendall.value < a.kendall.high
        assert 1 <= a.leading <= 24
    rising = np.arange(5.0)[:, None] + np.arange(3.0)
    assert agreements(rising)[0].spearman == (1, 1, 1)
    assert agreements(rising)[0].leading == 1
    assert agreements(np.column_stack([rising[::-1, 0], rising[:, 1]]))[0].leading == 5


def test_seed_noise_is_pooled_over_points() -> None:
    noise = seed_noise([(0.5, 0.6), (0.9, 0.9), (0.1,)])
    assert noise.degrees == 2
    assert noise.sd.value == pytest.approx(0.05)
    assert noise.sd.low < 0.05 < noise.sd.high
    assert seed_noise([(0.5,), (0.6,)]) is None
    drawn = seed_noise(np.random.default_rng(1).normal(0, 0.01, (500, 3)))
    assert drawn.sd.low < 0.01 < drawn.sd.high


def test_the_expected_best_is_the_mean_over_all_choices() -> None:
    ends = RANDOM.random(7)
    for count in (1, 3, 7):
        every = [max(chosen) for chosen in combinations(ends, count)]
        assert expected_best(ends, count) == pytest.approx(np.mean(every))


def test_trials_pay_while_doubling_them_brings_enough() -> None:
    assert trials_that_pay(np.full(16, 0.8), 0.001) == 8
    spread = np.linspace(0.3, 0.9, 16)
    assert trials_that_pay(spread, 0.001) > 16
    assert trials_that_pay(spread, 0.001) > trials_that_pay(spread, 0.02)
    assert trials_that_pay(spread, 1e-9) == 8 * 16


def test_confirmations_pay_only_where_seeds_differ() -> None:
    ends = np.linspace(0.6, 0.8, 16)
    certain = confirmations(ends, 0.0, 20)
    assert certain[0][:2] == (1, 1)
    assert all(c.regret == pytest.approx(0) for c in certain)
    noisy = {c[:2]: c.regret for c in confirmations(ends, 0.02, 20)}
    assert noisy[5, 5] < noisy[3, 2] < noisy[1, 1]
    assert max(top for top, _ in noisy) == 8
    assert max(c.top for c in confirmations(ends, 0.02, 4)) == 3


def test_curves_of_other_lengths_are_read_at_the_same_shares() -> None:
    found = at_shares([[1, 2], [1, 2, 3, 4, 5, 6]])
    assert found.tolist() == [[1, 2], [3, 6]]


@pytest.mark.parametrize(
    "study",
    [
        {"pruner": "median", "startup_trials": 3},
        {"pruner": "median", "startup_trials": 0, "prune_after": 0.25},
        {"pruner": "percentile", "startup_trials": 2, "keep": 0.75},
        {"pruner": "successive-halving"},
    ],
)
def test_rules_prune_what_optuna_prunes(study) -> None:
    config, found = StudyConfig.model_validate(study), []
    scores = curves(14, 8)
    real = optuna.create_study(direction="maximize", pruner=build_pruner(config, 8))
    for curve in scores.tolist():
        trial = real.ask()
        for epoch, score in enumerate(curve, 1):
            trial.report(score, epoch)
            if epoch < 8 and trial.should_prune():
                real.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            real.tell(trial, curve[-1])
        found.append(epoch)
    assert epochs_trained(scores[None], config).tolist() == [found]
    assert min(found) < 8


def test_effects_weigh_epochs_against_what_is_lost() -> None:
    parallel = np.linspace(0.3, 0.9, 12)[:, None] * np.linspace(0.6, 1, 6)
    for effect in effects(parallel):
        assert effect.kept == 1
        assert effect.lost == 0
    assert max(e.saved for e in effects(parallel)) > 0.2
    crossing = np.column_stack([parallel[::-1, :5], parallel[:, 5]])
    assert max(e.lost for e in effects(crossing)) > 0.05


def test_repeated_points_are_told_from_others() -> None:
    scores = curves(8, 4)
    trials = [record(n, curve, {"lr": float(n)}) for n, curve in enumerate(scores)]
    best = int(np.argmax(scores[:, -1]))
    again = record(8, scores[best] + 0.01, {"lr": float(best)})
    found = Calibration.of([*trials, again, record(9, scores[0], {"lr": 9.0}, "pruned")])
    assert found.points == 8
    assert found.left_out == 1
    assert found.ends[0] == pytest.approx((scores[best, -1], scores[best, -1] + 0.01))
    assert found.sd == pytest.approx(0.01 / np.sqrt(2))
    assert found.ends[found.recipe][0] == scores[0, -1]
    assert len(found.results) == 7
    with pytest.raises(
        ValueError, match="needs 4 complete points of at least 2 epochs, but got 3"
    ):
        Calibration.of(trials[:3])


def test_every_other_one_of_the_better_half_is_repeated() -> None:
    trials = [record(n, [0.1 * n], {"lr": n}) for n in range(8)]
    chosen = []
    for index in range(8, 12):
        chosen.append(to_repeat(trials, 8).params["lr"])
        trials.append(record(index, [0.99], {"lr": chosen[-1]}))
    assert chosen == [7, 5, 7, 5]
    assert to_repeat([], 8) is None


def test_the_search_repeats_points_also_when_it_was_stopped(
    tiny_config, tiny_plan, worker
) -> None:
    settled = calibrating(tiny_config(), 4)
    assert (settled.trials, settled.repeats, settled.study.pruner) == (6, 2, "none")
    plan = tiny_plan(trials=6, repeats=2, study={"sampler": "random", "pruner": "none"})
    study = make_or_resume(plan.place, plan.purpose())
    for event in RunTrials(plan, None).run(worker):
        if isinstance(event, EpochEnded) and event.job == "trial 4":
            worker._stop.set()  # In the middle of the first repeated one.
    worker._stop.up = False
    run_task(RunTrials(plan, None), worker)
    done = [t for t in trial_records(study) if t.done]
    assert [t.index for t in done] == [0, 1, 2, 3, 4, 5]
    assert all(len(t.curve) == 3 for t in done)
    points = [t.params for t in done[:4]]
    assert len({repr(params) for params in points}) == 4
    assert all(t.params in points for t in done[4:])
    assert len({t.config["seed"] for t in done}) == 6


def test_repeats_need_trials() -> None:
    with pytest.raises(ValueError, match="repeats must be less than trials, which are 4, but got"):
        SearchConfig(trials=4, repeats=4)


def test_what_is_recommended_is_a_config(tmp_path) -> None:
    scores = curves(16, 6)
    trials = [record(n, curve, {"lr": float(n)}) for n, curve in enumerate(scores)]
    found = Calibration.of([*trials, record(16, scores[3] + 0.004, {"lr": 3.0})])
    said = "\n".join(lines(found))
    assert "16 points to their end" in said
    assert "degrees of freedom" in said
    asked = SearchConfig.model_validate({"recipe": "cpu", "study": {"seed": 3}})
    tables = recommended(asked, found)
    assert tables["study"]["seed"] == 3
    config = SearchConfig.model_validate(tables)
    assert config.trials == found.trials
    assert config.study.pruner == found.rule.study["pruner"]
    gp = SearchConfig.model_validate({"study": {"sampler": "gp", "pruner": "none"}})
    assert SearchConfig.model_validate(recommended(gp, found)).study.pruner == "none"
    assert laid_over_all({"a": {"b": 1}}, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}


def test_folds_are_refused() -> None:
    with pytest.raises(ValueError, match="folds must be 1, but got 5: leave it out"):
        calibrating(SearchConfig.model_validate({"data": {"folds": 5}}), 16)


@pytest.mark.slow
def test_the_command_ends_with_settings_for_a_search(image_folder, run_here, tmp_path) -> None:
    words = ["--points", 4, "--image-size", 16, "--recipe", "cpu", "--config", "tiny.toml"]
    (tmp_path / "tiny.toml").write_text(
        "[training]\nwidth = 4\nepochs = 2\nbatch_size = 16\n[space]\nfixed = ['batch_size']\n"
    )
    done = run_here("search.calibrate.__main__", "--dataset", "pictures", *words)
    assert done.returncode == 0, done.stderr
    assert "then 3 x 3 confirmations" not in done.stdout
    assert "how early scores rank the end" in done.stdout
    folder = tmp_path / "runs" / "pictures-calibration"
    assert "plotly" in (folder / "calibration.html").read_text()
    assert not (folder / "best").exists()
    config = load_search_config(str(folder / "calibration.toml"), {})
    assert config.training["width"] == 4
    assert config.confirm.top >= 1
