"""`best/metrics.json`, as 0.1.0 wrote it and as later versions may write it."""

import json
from pathlib import Path

import pytest

from records.metrics import SearchBest, exported, figures, read_metrics, write_metrics
from records.statistics import Spread, few_validation_images
from records.words import points

OLD = Path(__file__).parents[1] / "assets" / "digits-0.1.0" / "best"


@pytest.fixture
def values() -> dict:
    return json.loads((OLD / "metrics.json").read_text())


def written(folder, values) -> None:
    (folder / "metrics.json").write_text(json.dumps(values))


def test_a_file_of_an_earlier_version_is_written_again_as_it_was(values, tmp_path) -> None:
    write_metrics(tmp_path, read_metrics(OLD))
    again = json.loads((tmp_path / "metrics.json").read_text())
    assert again == values
    assert list(again) == list(values)


def test_what_a_later_version_added_is_kept(values, tmp_path) -> None:
    values["new"] = {"key": [1, None]}
    values["search"]["new"] = "here"
    values["test"]["per_class"]["3"]["new"] = 0.5
    written(tmp_path, values)
    metrics = read_metrics(tmp_path)
    search = metrics.search.model_copy(update={"test_evaluations": 2})
    write_metrics(tmp_path, metrics.model_copy(update={"search": search}))
    values["search"]["test_evaluations"] = 2
    assert json.loads((tmp_path / "metrics.json").read_text()) == values


def test_another_format_is_refused(values, tmp_path) -> None:
    written(tmp_path, values | {"format": 2})
    with pytest.raises(ValueError, match="has format 2: use the"):
        read_metrics(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "trial": "two"}'])
def test_what_no_search_exported_is_one_sentence(text, tmp_path) -> None:
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(ValueError, match="must be what a search exported, but: ") as error:
        exported(tmp_path)
    assert "\n" not in str(error.value)


def test_nothing_was_exported(tmp_path) -> None:
    assert exported(tmp_path) is None


def test_the_figures_tell_from_claim_to_test() -> None:
    metrics = read_metrics(OLD)
    told = dict(figures(metrics))
    searched, confirmed, tested = metrics.estimates
    assert told["validation accuracy in the search"] == (
        f"{searched.accuracy:.2%} (no interval, since it is of the best of 4 trials, n = 143)"
    )
    assert (searched.low, searched.high) == (None, None)
    assert told["caution"].startswith("only 143 validation images: one of them is 0.7%")
    assert told["selection gap (luck of the search)"] == points(metrics.selection_gap)
    assert told["confirmed with fresh seeds"].startswith(f"{confirmed.accuracy:.2%}")
    assert told["test accuracy"] == (
        f"{tested.accuracy:.2%} (95 % interval {tested.low:.2%} to {tested.high:.2%}, n = 359)"
    )
    assert "with mirrored views averaged" not in told


def test_the_selection_gap_is_of_the_best_trial_of_the_search() -> None:
    metrics = read_metrics(OLD)
    best = SearchBest(trial=7, accuracy=0.9, confirmed=Spread.of([0.8, 0.82]))
    search = metrics.search.model_copy(update={"best": best})
    new = metrics.model_copy(update={"search": search, "selection_gap": best.selection_gap})
    told = dict(figures(new))["selection gap (luck of the search)"]
    assert told == "+9.00 points (trial 7: 90.00% in the search, then 81.00% ± 1.41% (n = 2))"


def test_few_validation_images_are_said_to_be_few() -> None:
    assert few_validation_images(20) == (
        "only 20 validation images: one of them is 5.0%, and an accuracy of 90 % has a standard "
        "error of 6.7%"
    )
    assert few_validation_images(199) is not None
    assert few_validation_images(200) is None
