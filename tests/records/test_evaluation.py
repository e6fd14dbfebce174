"""What is said of classes that a model never names, and of those nobody tested."""

from pathlib import Path

import pytest

from records.evaluation import Evaluation, class_warnings, left_out
from records.metrics import figures, read_metrics

OLD = Path(__file__).parents[1] / "assets" / "digits-0.1.0" / "best"


def evaluation(matrix: list[list[int]], macro: float = 0.0) -> Evaluation:
    """The evaluation with this confusion matrix, of classes a, b, c, ..."""
    classes = {}
    for label, row in enumerate(matrix):
        named = sum(line[label] for line in matrix)
        recall, precision = row[label] / max(1, sum(row)), row[label] / max(1, named)
        name = chr(ord("a") + label) if len(matrix) <= 26 else f"class {label}"
        classes[name] = {"precision": precision, "recall": recall, "f1": recall, "n": sum(row)}
    n = sum(map(sum, matrix))
    hits = sum(row[label] for label, row in enumerate(matrix))
    values = {"accuracy": hits / n, "interval_95": (0, 1), "n": n, "calibration_error": 0.0}
    values |= {"macro": {"precision": macro, "recall": macro, "f1": macro}}
    return Evaluation.model_validate({**values, "per_class": classes, "confusion_matrix": matrix})


def test_classes_that_are_never_predicted_are_named_largest_first() -> None:
    test = evaluation([[9, 0, 0], [1, 0, 0], [4, 0, 0]])
    assert list(class_warnings(test)) == [
        "2 of 3 classes are never predicted: c (n = 4), b (n = 1)"
    ]


def test_of_very_many_the_first_ones_are_named() -> None:
    """75 of 102, as it was seen."""
    matrix = [[0] * 102 for _ in range(102)]
    for label in range(102):
        matrix[label][label if label < 27 else 0] = 5
    (warning,) = class_warnings(evaluation(matrix))
    assert warning.startswith("75 of 102 classes are never predicted: class 27 (n = 5), ")
    assert warning.endswith(" and 65 more")


def test_a_class_that_is_never_found_is_told_from_one_that_is_never_predicted() -> None:
    test = evaluation([[3, 2, 0], [5, 0, 0], [5, 0, 0]])
    assert list(class_warnings(test)) == [
        "1 of 3 classes is never predicted: c (n = 5)",
        "1 of 3 classes is predicted, but never for a test image of their own (recall 0): "
        "b (n = 5)",
    ]


def test_what_nobody_tested_is_no_fault_and_not_in_the_mean() -> None:
    test = evaluation([[3, 1, 0], [0, 2, 0], [0, 0, 0]], macro=0.5)
    assert list(class_warnings(test)) == []
    # A file of 0.1.0 counted the third class as 0.
    assert test.macro_tested.recall == pytest.approx((0.75 + 1) / 2)
    assert left_out(test) == (
        "1 of 3 classes has no test images, so macro figures leave them out: c"
    )
    whole = evaluation([[3, 1], [0, 2]], macro=0.875)
    assert (left_out(whole), whole.macro_tested) == (None, whole.macro)


def test_macro_recall_stands_beside_accuracy_where_classes_are_unequal() -> None:
    metrics = read_metrics(OLD)

    def told(matrix: list[list[int]]) -> list[tuple[str, str]]:
        return list(figures(metrics.model_copy(update={"test": evaluation(matrix, macro=0.5)})))

    unequal = told([[90, 0], [10, 0]])
    names = [name for name, _ in unequal]
    assert names[names.index("test accuracy") + 1] == "macro recall"
    assert dict(unequal)["macro recall"].startswith("50.00% ")
    assert "macro recall" not in dict(told([[5, 5], [5, 5]]))
    assert "classes without test images" in dict(told([[5, 0], [0, 0]]))
