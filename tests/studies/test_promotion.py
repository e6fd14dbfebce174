import random

import pytest
from optuna.trial import TrialState

from records.outcome import Cause, State
from records.trial import TrialRecord
from studies.algorithms import build_pruner
from studies.algorithms.promotion import Promote, is_paused, leading, may_go_on, rungs
from studies.attributes import RETRY_OF, requeued, trial_records
from studies.broker import Answer, Claims
from studies.broker.sql import SqlBroker, finished
from studies.config import StudyConfig
from studies.dashboard.notes import trial_note
from studies.study import Place, work_on
from tests.studies.conftest import SPACE, begun
from tests.studies.test_broker import claimed, dies
from tests.studies.workers import EPOCHS, broker_of, ended, epoch, score

HALVES = StudyConfig(pruner="promote", prune_after=0.3, reduction=2, startup_trials=3)
"""Rungs after epochs 1 and 2 of 3."""
PAUSED = {"cause": Cause.PAUSED, "reason": "paused"}


def test_rungs_grow_by_the_reduction_and_end_before_the_last_epoch() -> None:
    assert rungs(16, 1 / 6, 3) == (3, 9)
    assert rungs(8, 0.0, 2) == (1, 2, 4)
    assert rungs(4, 1.0, 2) == ()
    assert rungs(1, 1 / 6, 3) == ()  # A probe.


def test_the_best_share_of_a_rung_leads() -> None:
    scores = {4: 0.5, 1: 0.9, 2: 0.5, 0: 0.1, 3: 0.7, 5: 0.2}
    assert leading(scores, 3) == [1, 3]
    assert leading(scores, 2) == [1, 3, 2]
    assert leading({0: 0.5, 1: 0.6}, 3) == []
    assert leading({0: 0.5, 1: 0.6}, 3, least=1) == [1]


def record(number: int, *curve: float, state=State.PRUNED, epochs=EPOCHS, **about) -> TrialRecord:
    paused = {"cause": Cause.PAUSED} if state == State.PRUNED else {}
    return TrialRecord(
        number=number, params={}, history={}, reason=None, started=None, ended=None, state=state,
        accuracy=None, curve=dict(enumerate(curve, 1)),
        **{"index": number, "config": {"epochs": epochs}, **paused, **about},
    )  # fmt: skip


COMPLETE = record(0, 0.3, 0.3, 0.3, state=State.COMPLETE)


def next_number(*trials: TrialRecord, last: bool = False) -> int | None:
    found = Promote(HALVES).next(trials, last=last)
    return None if found is None else found.number


def test_the_best_of_the_furthest_rung_goes_on_first() -> None:
    rung_1 = [record(1, 0.5), record(2, 0.4), record(3, 0.7), record(4, 0.6)]
    assert next_number(COMPLETE, *rung_1) == 3
    further = record(5, 0.1, 0.35)
    assert next_number(COMPLETE, *rung_1, further) == 5


def test_what_went_on_already_or_fell_behind_keeps_its_place_and_does_not_go_on() -> None:
    running = record(1, 0.9, state=State.RUNNING)
    assert next_number(COMPLETE, running, record(2, 0.5), record(3, 0.4)) == 2
    by_rule = record(1, 0.9, cause=Cause.RULE)
    assert next_number(COMPLETE, by_rule, record(2, 0.1)) is None
    failed = record(1, 0.9, state=State.FAILED)
    assert next_number(COMPLETE, failed, record(2, 0.5)) == 2


def test_a_trial_that_is_run_again_is_one_at_its_rung() -> None:
    again = record(3, 0.2, 0.3, index=1, state=State.REQUEUED)
    paused = [record(1, 0.2, state=State.REQUEUED), record(2, 0.1), again, record(4, 0.2, index=1)]
    assert next_number(COMPLETE, *paused) is None  # The best of three went through.


def test_the_best_of_each_rung_goes_on_when_there_are_no_new_points() -> None:
    trials = [COMPLETE, record(1, 0.5), record(2, 0.1, state=State.RUNNING, epochs=9)]
    assert next_number(record(0, 0.6, state=State.RUNNING), record(1, 0.5)) is None
    assert next_number(COMPLETE, record(1, 0.5)) == 1
    three = [COMPLETE.model_copy(update={"curve": {1: 0.9, 2: 0.9, 3: 0.9}}), record(1, 0.5)]
    assert next_number(*three, last=True) is None
    beyond = [COMPLETE, record(1, 0.9, 0.2), record(2, 0.1)]
    assert next_number(*beyond) is None
    assert next_number(*trials, record(3, 0.9, epochs=9)) == 1


def test_trials_are_held_against_those_of_their_method_and_length() -> None:
    shorter = [record(n, 0.9, 0.9, state=State.COMPLETE, epochs=2) for n in (1, 2, 3)]
    probe = {"config": {"epochs": EPOCHS, "method": "probe"}}
    probes = [record(n, 0.9, 0.9, state=State.COMPLETE, **probe) for n in (4, 5, 6)]
    assert next_number(COMPLETE, *shorter, *probes, record(7, 0.5)) == 7


class Search:
    """Trials in this process, one at a time, with a stand-in for a training and its checkpoint.

    Whatever dies is a worker, before or after it reports; one trial never kills three in a row.
    """

    def __init__(self, place: Place, total: int, deaths: int = 0) -> None:
        place.folder.mkdir(exist_ok=True)
        self.place, self.total, self.deaths = place, total, deaths
        self.order: list[int] = []  # Places of the search as they were claimed.
        self.trained, self.in_a_row = 0, 0
        self.checkpoints: dict[int, int] = {}
        self.moments = random.Random(1)
        self.study = begun(place, HALVES)
        self.broker = broker_of(self.study, place, total)

    def _dies(self, claim) -> bool:
        if not self.deaths or self.in_a_row == 2 or self.moments.random() < 0.2:
            return False
        self.deaths, self.in_a_row = self.deaths - 1, self.in_a_row + 1
        dies(self.study, claim)
        self.broker = broker_of(self.study, self.place, self.total)
        return True

    def run(self) -> "Search":
        while claims := self.broker.claim(1).trials:
            self.order.append(claims[0].index)
            self._train(claims[0])
        return self

    def _train(self, claim) -> None:
        history, last, answer = [], score(claim.config["point"]), Answer.GO
        for number in range(1, EPOCHS + 1):
            history.append(last * (0.5 + number / 6))
            if number > self.checkpoints.get(claim.index, 0):
                self.trained += 1
                self.checkpoints[claim.index] = number
            if self._dies(claim):
                return
            answer = self.broker.report(claim, epoch(number, history[-1]))
            if self._dies(claim):
                return
            if answer != Answer.GO:
                break
        why = PAUSED if answer == Answer.PAUSE else {}
        state = State.PRUNED if why else State.COMPLETE
        assert self.broker.settle(claim, ended(state, *history, **why))
        self.in_a_row = 0

    def told(self) -> dict:
        """By place of the search, what counts."""
        return {
            r.index: (r.params, r.state, r.cause, r.curve, r.reason)
            for r in trial_records(self.study)
            if r.done
        }


def test_a_search_ends_with_exactly_its_total_and_the_best_trained_to_the_end(here) -> None:
    search = Search(here, 12).run()
    records = [r for r in trial_records(search.study) if r.done]
    assert sorted(r.index for r in records) == list(range(12))
    assert finished(search.study.get_trials()) == 12
    epochs = sorted(len(r.curve) for r in records)
    assert search.trained == sum(epochs) < 12 * EPOCHS  # None was trained twice.
    assert epochs[-1] == EPOCHS
    assert epochs.count(1) >= 4
    ends = {r.index: r.curve[len(r.curve)] / (0.5 + len(r.curve) / 6) for r in records}
    best = max(ends, key=ends.get)
    assert next(r for r in records if r.index == best).state == State.COMPLETE
    assert not may_go_on(HALVES, trial_records(search.study))
    paused = [r for r in records if is_paused(r)]
    assert {r.kind for r in paused} == {"paused"}
    assert all("at that rung" in r.reason for r in paused)
    # Of two at a rung, one goes on, before a new point begins.
    again = [place for place in search.order if search.order.count(place) > 1]
    assert again
    first = search.order.index(again[0], search.order.index(again[0]) + 1)
    assert max(search.order[first:]) == 11


def test_one_trial_is_trained_to_its_end(here) -> None:
    search = Search(here, 1).run()
    assert [state for _, state, *_ in search.told().values()] == [State.COMPLETE]


def test_twenty_kills_change_nothing(tmp_path) -> None:
    straight = Search(Place("straight", tmp_path / "straight"), 11).run()
    disturbed = Search(Place("disturbed", tmp_path / "disturbed"), 11, deaths=20).run()
    assert disturbed.deaths == 0
    assert disturbed.told() == straight.told()
    assert disturbed.trained == straight.trained
    assert TrialState.RUNNING not in {t.state for t in disturbed.study.get_trials()}


def paused_at_1(broker: SqlBroker, value: float) -> int:
    """Run a new trial up to the first rung, where it must pause; its number."""
    claim = claimed(broker)
    assert broker.report(claim, epoch(1, value)) == Answer.PAUSE
    broker.settle(claim, ended(State.PRUNED, value, **PAUSED))
    return claim.number


def complete_one(broker: SqlBroker, value: float) -> None:
    claim = claimed(broker)
    for number in range(1, EPOCHS + 1):
        assert broker.report(claim, epoch(number, value)) == Answer.GO
    broker.settle(claim, ended(State.COMPLETE, *[value] * EPOCHS))


def test_two_workers_take_up_a_paused_trial_once_and_wait_for_it(here) -> None:
    study = begun(here, HALVES)
    one, other = broker_of(study, here, 4), broker_of(begun(here, HALVES), here, 4)
    complete_one(one, 0.5)
    paused = [paused_at_1(broker, value) for broker, value in ((one, 0.4), (other, 0.45))]
    fourth = claimed(one)
    assert fourth.index == 3
    assert one.report(fourth, epoch(1, 0.1)) == Answer.PAUSE
    again = claimed(other)  # Half of four are two.
    one.settle(fourth, ended(State.PRUNED, 0.1, **PAUSED))
    assert (again.index, again.passed) == (2, 1)
    assert one.claim(2) == Claims(wait=True)
    assert finished(study.get_trials()) == 3
    assert other.report(again, epoch(1, 0.45)) == Answer.GO
    assert other.report(again, epoch(2, 0.2)) == Answer.PAUSE
    other.settle(again, ended(State.PRUNED, 0.45, 0.2, **PAUSED))
    assert one.claim(2) == Claims()
    assert finished(study.get_trials()) == 4
    records = trial_records(study)
    assert [r.reason for r in records if is_paused(r)] == [
        "paused after epoch 1, as number 2 of 2 at that rung",
        "paused after epoch 1, as number 4 of 4 at that rung",
        "paused after epoch 2, as number 2 of 2 at that rung",
    ]
    original, goes_on = records[paused[1]], records[again.number]
    assert (original.state, original.cause) == (State.REQUEUED, Cause.PAUSED)
    assert goes_on.config == original.config
    assert "**Taken up again**: paused after epoch 1, as number 2 of 3" in trial_note(original)
    assert "**Pruned**: paused after epoch 2" in trial_note(goes_on)
    assert goes_on.training_seconds == original.seconds + goes_on.seconds


def test_the_sampler_sees_a_trial_that_went_on_once(here, tmp_path) -> None:
    study = Search(here, 9).run().study
    assert requeued(study.get_trials()) != set()
    kept = [t for t in study.get_trials() if t.number not in requeued(study.get_trials())]
    for trial in kept:
        trial.set_user_attr(RETRY_OF, -1)  # There, none of them was run twice.
    plain = Place("plain", tmp_path / "plain")
    begun(plain, HALVES, first=False).add_trials(kept)
    one, other = (work_on(place, HALVES, SPACE, EPOCHS) for place in (here, plain))
    for _ in range(12):
        assert SPACE.sample(one.ask(), {}) == SPACE.sample(other.ask(), {})


def test_with_folds_trials_pause_within_the_first_one_only(here) -> None:
    broker = SqlBroker(
        begun(here, HALVES), here, 9, SPACE, {}, lambda point, index: {"epochs": 3}, folds=2
    )
    answers = []
    for curve in ([0.9] * 6, [0.1] * 6, [0.95, 0.95, 0.0, 0.0, 0.0, 0.0]):
        (claim,) = broker.claim(1).trials
        said = [broker.report(claim, epoch(n, value)) for n, value in enumerate(curve, 1)]
        broker.settle(claim, ended(State.COMPLETE, *curve))
        answers.append([number for number, answer in enumerate(said, 1) if answer != Answer.GO])
    assert answers == [[], [1, 2], []]


@pytest.mark.parametrize("pruner", ["hyperband", "successive-halving"])
def test_the_reduction_is_that_of_other_halvings_too(pruner) -> None:
    factors = [
        vars(build_pruner(StudyConfig(pruner=pruner, reduction=n), 9)).values() for n in (2, 5)
    ]
    assert 2 in factors[0]
    assert 5 in factors[1]
