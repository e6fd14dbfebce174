"""What `benchmarks.gpu_check` makes of what its parts say, without a GPU and without its parts."""

import importlib
import json
from pathlib import Path

import pytest

from benchmarks.gpu_check import PARTS
from benchmarks.gpu_commands import rows_of_tests, search_figures, training_figures
from benchmarks.gpu_part import Row, attempt
from benchmarks.gpu_peers import cells_of, final_figures
from benchmarks.gpu_report import Outcome, figure, outcome_of, rows_of, table

ROW = {"what": "step", "unit": "ms", "values": [2.0], "more": {"peak GB": 1.5}}


def said(*values: float) -> str:
    return "".join(json.dumps({**ROW, "values": [value]}) + "\n" for value in values)


def test_rows_of_one_quantity_are_put_together() -> None:
    out = "a warning of a library\n" + said(1.0, 3.0) + '{"what": "step", "un'
    assert rows_of(out) == (Row("step", "ms", (1.0, 3.0), {"peak GB": 1.5}),)


@pytest.mark.parametrize(
    ("code", "out", "err", "state", "reason"),
    [
        (0, said(1.0), "", "done", ""),
        (0, '{"skipped": "needs a CUDA device"}', "", "skipped", "needs a CUDA device"),
        (1, said(1.0), "Traceback\n  line\nValueError: no\n\n", "failed", "ValueError: no"),
        (-11, said(1.0), "", "failed", "signal 11"),
        (None, said(1.0), "", "stopped", "ran past its limit of 5 s"),
    ],
)
def test_how_a_part_ends(code, out, err, state, reason) -> None:
    outcome = outcome_of("speed", code, 5.0, out, err)
    assert (outcome.state, outcome.reason) == (state, reason)
    assert len(outcome.rows) == ("what" in out)


def test_the_table_says_median_and_spread() -> None:
    rows = (Row("step", "ms", (3.0, 1.0, 2.5), {"peak GB": 0.25}), Row("all", more={"n": 2}))
    lines = table([Outcome("speed", "failed", 4.2, rows, "no more memory")]).splitlines()
    assert lines[0] == "speed: failed, 4 s: no more memory"
    assert lines[1].split() == [
        "step",
        "2.5",
        "ms",
        "(1",
        "to",
        "3,",
        "n",
        "=",
        "3)",
        "peak",
        "GB",
        "0.25",
    ]
    assert lines[2].split() == ["all", "n", "2"]


def test_figures_have_the_digits_that_can_be_believed() -> None:
    values = (123456.7, 94.014, 0.12345, 0.0000123, 0.0, "none")
    assert [figure(v) for v in values] == ["123,457", "94.01", "0.123", "1.2e-05", "0", "none"]


def test_a_cell_that_fails_costs_itself(capsys) -> None:
    def fails() -> list[Row]:
        raise RuntimeError("CUDA error: out of memory\nmore")

    assert attempt("step", fails) == [
        Row("step", more={"failed": "RuntimeError: CUDA error: out of memory"})
    ]
    assert "Traceback" in capsys.readouterr().err


def test_a_training_is_read_from_what_it_prints() -> None:
    text = (
        "cifar10: 50000 training images, 10 classes\nconvnet width 64 depth 2, batch 1024, sgd\n"
        "epoch   1  loss 2.0  train 30.00%  validation -  98,304 images/s  0.5 s\n"
        "epoch   2  loss 1.0  train 60.00%  validation -  49,152 images/s  1.0 s\n"
        "test accuracy 93.51% on 10000 images, loss 0.300\n"
    )
    assert training_figures(text) == (1.5, 93.51)


def test_a_search_is_read_from_its_metrics() -> None:
    part = {"accuracy": 0.5}
    metrics = {
        "search": {"complete": 3, "pruned": 1}, "validation": part, "confirmed": {"mean": 0.25},
        "test": part,
    }  # fmt: skip
    figures = search_figures(metrics)
    assert (figures["pruned"], figures["% confirmed"], figures["% test"]) == (1, 25.0, 50.0)


def test_a_peer_is_read_from_its_table() -> None:
    head = cells_of("|  run     |  epoch  |  val_acc  |  tta_val_acc  |  total_time_seconds  |\n")
    final, other = (
        "|    |   eval  |  0.93  |  0.9401  |  3.8312  |",
        "|  0  |  1  |  0.5  |  |  1.0  |",
    )
    assert final_figures(head, cells_of(final)) == (3.8312, 0.9401)
    assert final_figures(head, cells_of(other)) is None
    assert final_figures(head, cells_of("-" * 20)) is None


def test_failed_tests_are_named() -> None:
    xml = (
        "<testsuites><testsuite><testcase name='a'/><testcase name='b'><skipped/></testcase>"
        "<testcase name='c'><failure message='assert 1 == 2&#10;more'/></testcase>"
        "</testsuite></testsuites>"
    )
    counts, failed = rows_of_tests(xml)
    assert counts.more == {"passed": 1, "failure": 1, "error": 0, "skipped": 1}
    assert failed == Row("c", more={"failed": "assert 1 == 2"})


def test_every_part_is_there() -> None:
    for part in PARTS:
        module = Path(importlib.import_module("benchmarks").__path__[0]) / f"{part.module}.py"
        assert f"\ndef {part.function}(setting: Setting" in module.read_text()
    assert len({part.name for part in PARTS}) == len(PARTS)
