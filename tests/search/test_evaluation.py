from pathlib import Path

import numpy as np
import pytest

from records.evaluation import ClassQuality, Quality
from records.metrics import read_metrics
from search.display.dashboard import model_rows
from search.display.summary import SearchResult, count, last_lines
from search.export.card import describe
from search.export.evaluation import evaluation
from studies.study import Place

LABELS = np.array([0, 0, 1, 1, 2, 2])
PREDICTED = np.array([0, 1, 1, 1, 0, 2])
PROBABILITIES = np.eye(3)[PREDICTED] * 0.7 + 0.1


def test_an_evaluation_by_hand() -> None:
    found = evaluation(LABELS, PROBABILITIES, ["a", "b", "c"])
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.n == 6
    assert found.confusion_matrix == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert found.per_class["a"] == ClassQuality(precision=0.5, recall=0.5, f1=0.5, n=2)
    assert found.per_class["b"].recall == 1.0
    assert found.per_class["c"].precision == 1.0
    assert found.macro.precision == pytest.approx((0.5 + 2 / 3 + 1) / 3)
    # Always 0.8 sure, right 4 times of 6.
    assert found.calibration_error == pytest.approx(0.8 - 4 / 6)


def test_a_class_that_is_never_named_has_precision_0_and_no_warning() -> None:
    found = evaluation(np.array([0, 1]), np.array([[0.9, 0.1], [0.8, 0.2]]), ["a", "b"])
    assert found.per_class["b"] == ClassQuality(precision=0.0, recall=0.0, f1=0.0, n=1)


def test_a_class_missing_from_the_test_part_still_has_its_place() -> None:
    found = evaluation(np.array([0, 0]), np.eye(3)[[0, 0]], ["a", "b", "c"])
    assert np.shape(found.confusion_matrix) == (3, 3)
    # Two classes of which nothing is known do not make the mean a third.
    assert found.macro == Quality(precision=1.0, recall=1.0, f1=1.0)


def test_console_card_and_notes_warn_of_a_class_that_is_never_predicted(tmp_path) -> None:
    old = read_metrics(Path(__file__).parents[1] / "assets" / "digits-0.1.0" / "best")
    test = evaluation(np.array([0, 0, 0, 1]), np.array([[0.9, 0.1]] * 4), ["a|b", "c"])
    metrics = old.model_copy(update={"test": test})
    said = list(last_lines(SearchResult(Place("tiny", tmp_path), count([], 4), None, metrics)))
    assert "WARNING: 1 of 2 classes is never predicted: c (n = 1)" in said
    accuracy = next(place for place, line in enumerate(said) if line.startswith("test accuracy"))
    assert said[accuracy + 1].startswith("macro recall: 50.00%")
    describe(tmp_path, metrics)
    card = (tmp_path / "README.md").read_text()
    assert "(macro recall), it is 50.00%." in card
    assert "> **Warning: 1 of 2 classes is never predicted: c (n = 1).**" in card
    result = dict(model_rows(metrics))
    assert result["WARNING"] == "1 of 2 classes is never predicted: c (n = 1)"
