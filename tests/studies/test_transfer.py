"""What a study takes from others, trial by trial."""

import optuna
import pytest

from records.outcome import State
from records.trial import Origin
from space import parse_space, with_ranges
from studies.attributes import CAUSE, CONFIG, ENQUEUED, HISTORY, INDEX, ORIGIN, trial_records
from studies.broker.counting import finished
from studies.broker.sql import SqlBroker
from studies.config import StudyConfig
from studies.study import FINGERPRINT, Place, Purpose, find, make_or_resume, work_on
from studies.transfer import POINTS, Target, add, take_over, warm_start
from tests.studies.conftest import FIRST, SPACE
from tests.studies.workers import ended, score

USUAL = {**FIRST, "dropout": 0.1, "width": 4, "epochs": 3, "method": "full"}
ADDED = {"dropout": {"type": "float", "low": 0.0, "high": 0.5}}
WIDER = parse_space(
    "wider", {**with_ranges(SPACE, {"lr": (1.0, 50.0)}).model_dump()["parameters"], **ADDED}
)


def configure(point) -> dict:
    return {**USUAL, **point}


def target(space=WIDER, method: str = "full") -> Target:
    return Target("new", space, USUAL, configure, method, frozenset({"seed"}))


def purpose(space, **changes) -> Purpose:
    fingerprint = {"training": {"epochs": 3}, "seed": 0, "space": space.model_dump()["parameters"]}
    return Purpose({**fingerprint, **changes}, {}, {})


def opened(tmp_path, name: str, space, total: int) -> SqlBroker:
    place = Place(name, tmp_path / name)
    make_or_resume(place, purpose(space))
    study = work_on(place, StudyConfig(sampler="random", pruner="none"), space, 3)

    def with_seed(point, index):
        return {**configure(point), "seed": index}

    return SqlBroker(study, place, total, space, USUAL, with_seed)


def run(broker: SqlBroker) -> int:
    """Run what is missing; how many that were."""
    count = 0
    while claims := broker.claim(1).trials:
        (claim,) = claims
        count += 1
        broker.settle(claim, ended(State.COMPLETE, score(claim.params)))
    return count


@pytest.fixture(scope="module")
def old():
    """A study of twelve trials, in memory, every third one pruned."""
    study = optuna.create_study(study_name="old", direction="maximize")
    study.set_user_attr(FINGERPRINT, purpose(SPACE).fingerprint)
    points = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for number in range(12):
        asked = points.ask()
        value = score(SPACE.sample(asked, {}))
        pruned = number % 3 == 2
        study.add_trial(optuna.trial.create_trial(
            state=optuna.trial.TrialState.PRUNED if pruned else optuna.trial.TrialState.COMPLETE,
            value=value / 2 if pruned else value,
            params=asked.params, distributions=asked.distributions,
            intermediate_values={1: value / 2} if pruned else {1: value / 2, 2: value},
            user_attrs={
                CONFIG: {**configure(asked.params), "seed": number}, INDEX: number,
                HISTORY: {"lr": [0.1] if pruned else [0.1, 0.2]},
                CAUSE: "rule" if pruned else None,
            },
        ))  # fmt: skip
    return study


def test_trials_that_fit_another_space_are_taken_over_with_their_curves(old, tmp_path) -> None:
    lesson = take_over(old, target(), purpose(WIDER))
    broker = opened(tmp_path, "new", WIDER, 3)
    new = find(Place("new", tmp_path / "new"))
    add(new, lesson)
    before = [t for t in trial_records(old) if t.params["lr"] >= 1.0]
    after = trial_records(new)
    assert 0 < len(after) < 12
    assert lesson.said == (
        f"took over {len(after)} of 12 trials of 'old'; {12 - len(after)} lie outside lr; they "
        f"do not count as trials"
    )
    assert {t.state for t in after} == {State.COMPLETE, State.PRUNED}
    for mine, theirs in zip(after, before, strict=True):
        assert mine.params == {**theirs.params, "dropout": 0.1}
        assert mine.origin == Origin(how="taken over", study="old", trial=theirs.number)
        for what in ("state", "accuracy", "curve", "history", "config", "cause", "seconds"):
            assert getattr(mine, what) == getattr(theirs, what), what
    assert [t.user_attrs[HISTORY] for t in new.trials]
    # What was taken over is no trial of this study's own: as many as were asked for follow.
    assert (finished(new.trials), run(broker), run(broker)) == (0, 3, 0)
    assert sum(t.done for t in trial_records(new)) == 3


def test_it_is_taken_once_also_after_a_kill_in_between(old, tmp_path) -> None:
    lesson = take_over(old, target(), purpose(WIDER))
    opened(tmp_path, "new", WIDER, 3)
    new = find(Place("new", tmp_path / "new"))
    new.add_trial(lesson.trials[0])
    for _ in range(2):
        add(new, lesson)
        assert len(new.trials) == len(lesson.trials)


def test_another_training_is_not_taken_over(old) -> None:
    with pytest.raises(ValueError, match=r"'old' has epochs 3, not 4: undo that, or use --warm"):
        take_over(old, target(), purpose(WIDER, training={"epochs": 4}))
    # Another seed makes other trials, not other results.
    assert take_over(old, target(), purpose(WIDER, seed=1)).trials
    fixed = parse_space("fixed", {"lr": WIDER.parameters["lr"].model_dump()})
    lesson = take_over(old, target(fixed), purpose(fixed))
    same = [t for t in old.trials if t.params["batch_size"] == 256 and t.params["depth"] == 2]
    assert len(lesson.trials) <= len(same)
    assert "lie outside batch_size, depth, lr" in lesson.said


def test_a_warm_start_begins_with_the_best_points(old, tmp_path) -> None:
    choices = {"batch_size": {"type": "choice", "choices": [256, 1024]}}
    space = WIDER.with_own(parse_space("own", choices))
    first = {"lr": 2.0, "batch_size": 256, "dropout": 0.1, "depth": 2}
    lesson = warm_start(old, target(space), first)
    best = sorted((t for t in trial_records(old) if t.result), key=lambda t: -t.result)
    order = [origin.trial for _, origin in lesson.points]
    assert order == [t.number for t in best if t.number in order]
    assert (order[0], len(order)) == (best[0].number, POINTS)
    for point, origin in lesson.points:
        trial = trial_records(old)[origin.trial]
        kept = trial.params["batch_size"]
        assert point["lr"] == max(1.0, trial.params["lr"])
        assert point["batch_size"] == (kept if kept == 256 else first["batch_size"])
        assert (point["depth"], point["dropout"]) == (trial.params["depth"], 0.1)
    assert f"warm start: the best {POINTS} points of 'old' come first" in lesson.said
    assert "moved into the range: lr of " in lesson.said
    assert "left out: batch_size of " in lesson.said
    again = warm_start(old, target(space), first, [point for point, _ in lesson.points])
    assert not {origin.trial for _, origin in again.points} & {*order}

    broker = opened(tmp_path, "new", space, POINTS + 1)
    new = find(Place("new", tmp_path / "new"))
    for _ in range(2):
        add(new, lesson)
    assert run(broker) == POINTS + 1
    for trial, (point, origin) in zip(new.trials, lesson.points, strict=False):
        assert (trial.params, trial.user_attrs[ENQUEUED]) == (point, point)
        assert trial.user_attrs[ORIGIN] == origin.model_dump()
    records = trial_records(new)
    assert str(records[0].origin) == f"warm start from 'old' trial {best[0].number}"
    assert records[-1].origin is None


def test_a_warm_start_that_is_run_again_is_still_one(old, tmp_path) -> None:
    broker = opened(tmp_path, "new", WIDER, 1)
    new = find(Place("new", tmp_path / "new"))
    add(new, warm_start(old, target(), {}))
    (claim,) = broker.claim(1).trials
    broker.settle(claim, ended(State.REQUEUED))
    again = [t for t in trial_records(new) if t.state == State.WAITING][-1]
    assert again.origin == trial_records(new)[0].origin


def test_a_study_without_anything_to_learn_is_refused(old) -> None:
    with pytest.raises(ValueError, match="'old' has none: leave it out"):
        warm_start(old, target(method="probe"), {})
    with pytest.raises(ValueError, match="searched some of dropout, but study 'old' has none"):
        warm_start(old, target(parse_space("other", ADDED)), {})
