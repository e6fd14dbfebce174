"""What a report says of more trials, wider ranges, audited trials and trials of other studies."""

import numpy as np
import pytest

from records.trial import Origin, ranked
from reports.numbers.cost import cost, course, more
from reports.numbers.diagnosis import audit
from reports.numbers.findings import findings
from reports.numbers.parameters import Range
from reports.numbers.summary import summarise
from reports.numbers.trials import history
from reports.numbers.wider import widened
from reports.source import read_source
from studies.attributes import AUDITED, ORIGIN, trial_records
from studies.study import find
from tests.reports.making import SPACE, make_study, sampled, trial


def found_in(place) -> dict:
    return {f.key: f for f in findings(summarise(read_source(place)))}


def test_a_range_that_ends_too_early_comes_with_the_command_that_widens_it(tmp_path) -> None:
    trials = [
        trial(n, params={**sampled(SPACE, n), "lr": 0.99 if n < 4 else 0.1}, curve=[0.9 - n / 100])
        for n in range(12)
    ]
    place = make_study(tmp_path, trials)
    advice = found_in(place)["ranges"].advice
    config = place.folder / "search.toml"
    assert advice.endswith(
        f"python -m search.run --config {config} --study made-wider --continue-from made "
        f"--range lr=0.01:10"
    )
    inside = make_study(tmp_path, [trial(n) for n in range(12)], name="inside")
    assert summarise(read_source(inside)).wider is None


@pytest.mark.parametrize(
    ("about", "edge", "expected"),
    [
        ({"low": 0.01, "high": 1.0, "log": True}, "high", (0.01, 10.0)),
        ({"low": 0.01, "high": 1.0, "log": True}, "low", (0.001, 1.0)),
        ({"low": 0.0, "high": 0.5}, "high", (0.0, 0.75)),
        ({"low": 0.6, "high": 0.95}, "high", (0.6, 0.975)),
        ({"low": 0.6, "high": 0.95}, "low", (0.425, 0.95)),
        ({"low": 0.0, "high": 1.0}, "high", None),
        ({"low": -1.0, "high": 3.0}, "high", (-1.0, 5.0)),
        ({"low": 1, "high": 3, "whole": True}, "high", (1.0, 4.0)),
        ({"low": 1, "high": 3, "whole": True}, "low", None),
        ({"low": 4, "high": 20, "step": 8, "whole": True}, "high", (4.0, 28.0)),
    ],
)
def test_ranges_grow_by_half_and_stay_possible(about, edge, expected) -> None:
    place = 1.0 if edge == "high" else 0.0
    given = {"log": False, "whole": False, **about, "positions": (place,) * 3}
    at = {"at_low": 1.0 - place, "at_high": place}
    found = Range(name="x", best=None, **given, **at)
    assert found.edge == edge
    assert widened(found) == expected


def audited(number: int, accuracy: float):
    made = trial(number, curve=[0.1, accuracy])
    made.set_user_attr(AUDITED, 1)
    return made


def test_audited_trials_say_what_pruning_lost(tmp_path) -> None:
    trials = [trial(n, curve=[0.1, 0.5 + n / 100]) for n in range(6)]
    lost = [audited(6, 0.40), audited(7, 0.546)]
    place = make_study(tmp_path, [*trials, *lost])
    text = found_in(place)["pruning"].text
    assert text.endswith(
        "Of 2 pruned trials that were finished anyway, 0 would have won; the best ended 0.40 "
        "points behind the winner of the others."
    )
    assert history(trial_records(find(place)))[7].note == "would have been pruned after epoch 1"
    other = make_study(tmp_path, [*trials, audited(6, 0.8)], name="other")
    found = audit(trial_records(find(other)))
    assert (found.n, found.won) == (1, 1)
    assert (
        "ended 25.00 points ahead of the winner of the others" in found_in(other)["pruning"].text
    )
    assert audit(trial_records(find(make_study(tmp_path, trials, name="none")))) is None


def test_the_gain_of_more_trials_is_told_from_ten_on(tmp_path) -> None:
    random = np.random.default_rng(0)
    trials = [trial(n, curve=[float(v)]) for n, v in enumerate(random.uniform(0.5, 0.9, 20))]
    place = make_study(tmp_path, trials)
    text = found_in(place)["more"].text
    assert "20 more trials are expected to bring +" in text
    assert f"{more(trial_records(find(place))).gain.in_words()}, if they are drawn like" in text
    assert more(trial_records(find(place))[:9]).gain is None


def test_trials_of_another_study_cost_nothing_here_and_can_be_the_best(tmp_path) -> None:
    taken = trial(0, curve=[0.5, 0.9])
    origin = Origin(how="taken over", study="old", trial=7)
    taken.set_user_attr(ORIGIN, origin.model_dump())
    place = make_study(tmp_path, [taken, trial(1, curve=[0.5, 0.6])], total=2)
    records = trial_records(find(place))
    paid = cost(records, 2, 2)
    assert (paid.done, paid.epochs, paid.trial_seconds, paid.counts) == (1, 2, 10, {"complete": 1})
    assert len(course(records)) == 1
    assert ranked(records)[0].number == 0
    assert [p.note for p in history(records)] == ["taken over from 'old' trial 7", ""]
    assert summarise(read_source(place)).state == "stopped: 1 of 2 trials done"
