import warnings

import pytest
import torch

from train_core.engine.optimizers import average_table, lr_table

SCHEDULES = ["triangle", "one_cycle", "cosine"]


def test_one_cycle_is_torchs() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=1.0, total_steps=40, cycle_momentum=False
    )
    factors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # It wants optimizer.step() first.
        for _ in range(40):
            factors.append(optimizer.param_groups[0]["lr"])
            if len(factors) < 40:
                reference.step()
    assert lr_table("one_cycle", 40, 0.3, 4e-6) == pytest.approx(factors)


def test_triangle_to_the_digit() -> None:
    table = lr_table("triangle", 11, 3 / 11, 0.1)
    assert table == pytest.approx([0.2, 0.6, *(1 - 0.9 * i / 8 for i in range(9))])


def test_cosine_to_the_digit() -> None:
    table = lr_table("cosine", 7, 3 / 7, 0.0)
    assert table == pytest.approx([0, 0.5, 1, 0.8535533905932737, 0.5, 0.1464466094067262, 0])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.23, 0.5])
@pytest.mark.parametrize("total", [2, 3, 10, 97])
def test_ends_with_the_last_step_and_never_exceeds_the_peak(schedule, warmup, total) -> None:
    table = lr_table(schedule, total, warmup, 0.05)
    assert table[-1] == pytest.approx(0.05, abs=1e-12)
    assert max(table) <= 1
    peak = table.index(max(table))
    assert table[: peak + 1] == sorted(table[: peak + 1])
    assert table[peak:] == sorted(table[peak:], reverse=True)


def test_without_warmup_the_peak_is_first() -> None:
    assert lr_table("cosine", 5, 0.0, 0.0)[0] == 1


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_single_step_is_at_the_peak(schedule) -> None:
    assert lr_table(schedule, 1, 0.2, 0.0) == [1]


def test_average_follows_closely_first_and_settles_at_its_span() -> None:
    table = average_table(0.05, 1000)
    assert table[0] == 0.9
    assert table == sorted(table, reverse=True)
    assert table[-1] == 1 / 50


def test_no_span_means_no_averaging() -> None:
    assert average_table(0.0, 5) == [1.0] * 5
