"""`benchmarks.curves` and `benchmarks.replay`, on curves that were made up."""

import gzip
import sys

import numpy as np
import pytest

from benchmarks import curves, replay
from benchmarks.curve_file import Head, Training, append, begin, pack, read_curves
from benchmarks.curve_points import UnitSuggester, encoded, sobol_units
from benchmarks.curves import Job, configured, jobs
from benchmarks.policies import Policy, around_first, run
from benchmarks.replay import BASELINE, Row, epochs_to, rows_of, table
from benchmarks.surrogate import learn, sampled
from space import parse_space
from tests.search.conftest import plan_in

SPACE = parse_space(
    "made up",
    {
        "lr": {"type": "float", "low": 0.01, "high": 1.0, "log": True},
        "depth": {"type": "int", "low": 1, "high": 3},
        "optimizer": {"type": "choice", "choices": ["sgd", "muon"]},
        "momentum": {"type": "float", "low": 0.0, "high": 1.0, "when": {"optimizer": "sgd"}},
    },
)
FIRST = {"lr": 0.03, "depth": 1, "optimizer": "muon"}
HEAD = Head(
    dataset="made up", sha256="0", recipe="cpu", space=SPACE, fixed=FIRST,
    epochs={100: 5}, validation=1000, about="",
)  # fmt: skip
NONE = {"pruner": "none"}


def truth(params) -> float:
    """Best at lr 0.1, depth 3, sgd, momentum 0.5."""
    far = (np.log10(params["lr"]) + 1) ** 2 + 0.1 * (3 - params["depth"])
    far += (params["momentum"] - 0.5) ** 2 if "momentum" in params else 0.3
    return float(0.85 - 0.3 * far)


def training(index: int, repeat: int, params) -> Training:
    random = np.random.default_rng([index, repeat])
    rising = truth(params) * np.linspace(0.7, 1, 5) + random.normal(0, 0.004, 5)
    return Training(
        images=100, index=index, repeat=repeat, params=params, scores=rising.tolist(),
        test=truth(params), seconds=[1.0] * 5, state="complete",
    )  # fmt: skip


@pytest.fixture(scope="module")
def recorded():
    points = [sampled(SPACE, {}, units) for units in sobol_units(SPACE, 64)]
    first = [training(n, 0, params) for n, params in enumerate(points)]
    return first + [training(n, 1, points[n]) for n in range(0, 64, 4)]


@pytest.fixture(scope="module")
def learned(recorded):
    return learn(HEAD, recorded, 100)


def test_a_recording_that_was_cut_off_goes_on(tmp_path, recorded) -> None:
    path = tmp_path / "new" / "curves.jsonl"
    assert begin(path, HEAD) == []
    append(path, recorded[1])
    append(path, recorded[0])
    with path.open("a") as file:
        file.write('{"images": 100, "ind')  # A kill in the middle of a line.
    assert begin(path, HEAD.model_copy(update={"about": "elsewhere"})) == recorded[1::-1]
    append(path, recorded[2])
    packed = pack(path)
    assert read_curves(packed) == (HEAD, recorded[:3])
    assert len(gzip.decompress(packed.read_bytes()).splitlines()) == 4
    with pytest.raises(ValueError, match="goes on only with the data, the space and the sizes"):
        begin(path, HEAD.model_copy(update={"sha256": "1"}))
    path.write_text("")
    with pytest.raises(ValueError, match="must begin with a line about all of them"):
        read_curves(path)


def test_points_fill_the_space_and_are_the_same_for_any_number() -> None:
    units = sobol_units(SPACE, 64)
    assert sobol_units(SPACE, 20) == units[:20]
    points = [sampled(SPACE, {}, u) for u in units]
    assert [sum(p["depth"] == d for p in points) for d in (1, 2, 3)] == pytest.approx(
        [64 / 3] * 3, abs=2
    )
    assert sum("momentum" in p for p in points) == 32
    assert sum(p["lr"] < 0.1 for p in points) == 32
    assert all(0 <= value <= 1 for p in points for value in encoded(SPACE, p))
    assert encoded(SPACE, FIRST)[1:] == pytest.approx([0, 0, 1, 0.5])
    whole = UnitSuggester({"n": 0.999}, {})
    assert whole.suggest_int("n", 2, 10, step=4) == 10
    assert whole.suggest_int("n", 1, 64, log=True) == 64


def test_all_sizes_have_the_same_points_and_seeds(image_folder, tmp_path) -> None:
    plan = plan_in(tmp_path)
    small, large = (configured(plan, Job(n, 3, 0), 8) for n in (100, 200))
    assert small == large
    again = configured(plan, Job(100, 3, 1), 8)
    assert again[0] == small[0]
    assert again[1].seed != small[1].seed
    assert configured(plan, Job(100, 0, 0), 8)[0] == plan.first
    planned = list(jobs([100, 200], 5))
    assert len(planned) == len(set(planned)) == 2 * 5 + 2 * 2
    assert {job.index for job in planned[:4]} == {0}


def test_every_other_point_of_a_space_with_probes_is_one(image_folder, tmp_path) -> None:
    empty = {"training": {}, "space": {}, "confirm": {}}
    plan = plan_in(tmp_path, recipe="pretrained", trials=8, probes=4, **empty)
    configs = [configured(plan, Job(100, index, 0), 8)[1] for index in range(4)]
    assert [c.method for c in configs] == ["probe", "fine_tune"] * 2


def test_curves_are_read_at_shares_of_their_epochs(recorded) -> None:
    short = recorded[0].model_copy(update={"scores": [0.2, 0.5]})
    assert short.curve(4, 0.1).tolist() == [0.2, 0.2, 0.5, 0.5]
    assert short.model_copy(update={"state": "diverged"}).curve(4, 0.1).tolist() == [
        0.2, 0.5, 0.1, 0.1
    ]  # fmt: skip


def test_the_world_is_like_what_was_recorded(learned) -> None:
    world, check = learned
    assert check.error < 0.02
    assert check.rank > 0.95
    assert check.noise == pytest.approx(0.004, rel=0.5)
    for recorded, again in check.early:
        assert again == pytest.approx(recorded, abs=0.05)
    assert world.truth([FIRST])[0] == pytest.approx(truth(FIRST), abs=0.02)
    assert world.best == pytest.approx(0.85, abs=0.02)
    same = [world.train(FIRST, np.random.default_rng(n)) for n in range(40)]
    assert 0.002 < np.std(same, axis=0)[-1] < 0.01


def test_too_few_points_are_refused(recorded) -> None:
    with pytest.raises(ValueError, match="a replay needs 10 recorded points, but there are 3"):
        learn(HEAD, recorded[:3], 100)


def test_epochs_are_counted_as_they_are_trained(learned) -> None:
    world, counts = learned[0], [10, 20]
    full = run(world, Policy("full", "random", NONE), counts, 0)
    assert [r.epochs for r in full] == [50, 100]
    assert run(world, Policy("full", "random", NONE), [20], 0) == full[1:]
    confirmed = run(world, Policy("confirmed", "random", NONE, confirm=(3, 2)), counts, 0)
    assert [r.epochs for r in confirmed] == [50 + 30, 100 + 30]
    once = run(world, Policy("once", "random", stops="first-epoch", keep=0.1), counts, 0)
    assert [r.epochs for r in once] == [10 + 4, 20 + 8]
    median = run(world, Policy("median", "random", {"pruner": "median"}), counts, 0)
    assert 50 <= median[0].epochs < median[1].epochs < 100
    promoted = run(world, Policy("promoted", "random", stops="promote"), counts, 0)
    assert 20 < promoted[1].epochs < 60


def test_policies_differ_in_what_they_find(learned) -> None:
    world = learned[0]
    recipe = run(world, Policy("recipe", "random", NONE), [1], 0)
    assert recipe[0].truth == pytest.approx(world.truth([FIRST])[0])
    [alone] = run(world, Policy("alone", "random", NONE, near=0), [1], 0)
    assert alone.truth != recipe[0].truth
    near = [around_first(world, np.random.default_rng(n)) for n in range(60)]
    assert 0.5 < np.mean([p["optimizer"] == "muon" for p in near]) < 1
    assert np.std([np.log10(p["lr"]) for p in near]) < 0.5
    for policy in (Policy("tpe"), Policy("one", "tpe-single"), Policy("qmc", "qmc")):
        [result] = run(world, policy, [24], 0)
        assert recipe[0].truth < result.truth <= world.best + 0.01
    for stops in ("first-epoch", "promote"):
        [result] = run(world, Policy(stops, stops=stops), [24], 0)
        assert result.truth > recipe[0].truth


def test_rows_say_when_a_policy_is_as_good_as_another() -> None:
    rows = [Row("a", 10, 100, 0.7, 0, 5), Row("a", 20, 400, 0.8, 0, 5)]
    assert epochs_to(rows, 0.75) == pytest.approx(200)
    assert epochs_to(rows, 0.6) == 100
    assert epochs_to(rows, 0.9) is None


def test_a_replay_prints_a_table_and_draws(monkeypatch, capsys, tmp_path, recorded) -> None:
    path = tmp_path / "curves.jsonl"
    begin(path, HEAD)
    for one in recorded:
        append(path, one)
    few = ["--repeats", "3", "--trials", "4", "8", "--processes", "1"]
    words = [str(path), *few, "--only", "random, promotion", "--page", str(tmp_path / "page.html")]
    monkeypatch.setattr(sys, "argv", ["replay", *words])
    replay.main()
    out = capsys.readouterr().out
    assert "80 trainings of 64 points" in out
    assert "epoch 4 ranks the end: recorded" in out
    assert f"| {BASELINE.name} | 8 | 40 |" in out
    assert "| random, promotion | 8 |" in out
    assert "plotly" in (tmp_path / "page.html").read_text()


def test_intervals_are_of_the_repeats(learned) -> None:
    world = learned[0]
    policy = Policy("random", "random", NONE)
    searches = [run(world, policy, [2, 4], seed) for seed in range(6)]
    rows = list(rows_of(policy, searches))
    truths = [own[1].truth for own in searches]
    assert rows[1].truth == pytest.approx(np.mean(truths))
    assert rows[1].error == pytest.approx(np.std(truths, ddof=1) / 6**0.5)
    assert len(list(table(world, rows))) == 2 + 2


def test_a_point_is_trained_to_its_end(image_folder, tmp_path, monkeypatch) -> None:
    """In this process; a pool of processes does no more."""
    out = tmp_path / "curves.jsonl"
    words = ["--dataset", str(image_folder), "--root", str(tmp_path / "data"), "--out", str(out)]
    words += ["--points", "2", "--images", "20", "30", "--epochs", "2"]
    monkeypatch.setattr(sys, "argv", ["curves", *words])
    options = curves._options()
    curves._load(options)
    [trained, again] = [curves._train(Job(images, 1, 0)) for images in (20, 30)]
    assert (trained.key, again.key) == ((20, 1, 0), (30, 1, 0))
    assert trained.params == again.params
    assert all(len(t.scores) == 2 and t.test is not None for t in (trained, again))
