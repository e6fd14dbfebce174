import math
from datetime import datetime

import pytest

from records.trial import TrialRecord
from studies.dashboard.notes import escaped, sparkline, spread, study_note, trial_note


def record(state: str, **changes) -> TrialRecord:
    values = {
        "number": 7,
        "index": 5,
        "state": state,
        "accuracy": None,
        "params": {"lr": 0.1},
        "config": {"epochs": 4},
        "curve": {1: 0.5, 2: 0.75},
        "history": {},
        "reason": None,
        "started": datetime(2026, 1, 1, 12, 0, 0),
        "ended": datetime(2026, 1, 1, 12, 0, 41),
    }
    return TrialRecord.model_validate({**values, **changes})


CURVE = """
```
\u2581\u2588  50.00% to 75.00%
```

| epoch | validation accuracy |
| ---: | ---: |
| 1 | 50.00% |
| 2 | 75.00% |"""


@pytest.mark.parametrize(
    ("trial", "outcome"),
    [
        (record("complete"), "**Complete**: 75.00% validation accuracy after 2 epochs in 41 s."),
        (record("pruned", reason="median rule"),
         "**Pruned**: median rule. 75.00% validation accuracy after 2 epochs in 41 s."),
        (record("failed", reason="KeyError: a|b"), "**Failed** after 2 epochs: KeyError: a\\|b"),
        (record("running", ended=None),
         "**Running**: 75.00% validation accuracy after 2 epochs of 4."),
        (record("requeued"),
         "**Stopped from outside** after 2 epochs. It goes on under another number, as place 5 of "
         "the search."),
    ],
    ids=lambda value: value.state if isinstance(value, TrialRecord) else "",
)  # fmt: skip
def test_a_trial_in_words_with_its_curve(trial, outcome) -> None:
    assert trial_note(trial) == f"{outcome}\n{CURVE}"


def test_a_trial_says_where_it_comes_from_and_that_it_was_audited() -> None:
    origin = {"how": "warm start", "study": "x", "trial": 12}
    note = trial_note(record("complete", origin=origin, audited=2))
    assert (
        "\n\nWarm start from 'x' trial 12. The pruner would have stopped it after epoch 2; it "
        in note
    )


def test_what_the_epochs_came_to_is_a_table() -> None:
    history = {"train_loss": [2.0, 1.23456], "val_loss": [None, 0.5], "lr": [0.1], "epoch": [1, 2]}
    rows = trial_note(record("complete", history=history)).splitlines()[-4:]
    assert rows == [
        "| epoch | validation accuracy | training loss | validation loss | learning rate |",
        "| ---: | ---: | ---: | ---: | ---: |",
        "| 1 | 50.00% | 2 | - | 0.1 |",
        "| 2 | 75.00% | 1.235 | 0.5 | - |",
    ]


def test_odd_trials_have_notes_too() -> None:
    assert (
        trial_note(record("failed", curve={})) == "**Failed** after 0 epochs: for no known reason"
    )
    assert trial_note(record("running", curve={}, config=None)) == (
        "**Running**: no result after 0 epochs."
    )
    assert trial_note(record("waiting", curve={})) == "**Waiting** for a worker."
    one = trial_note(record("complete", curve={1: math.nan}, started=None))
    assert one.startswith(
        "**Complete**: not a number validation accuracy after 1 epoch.\n\n| epoch"
    )
    gap = trial_note(record("complete", curve={1: 0.5, 2: math.nan, 3: 1.0}))
    assert "\u2581 \u2588  50.00% to 100.00%" in gap
    long = trial_note(record("failed", reason="x" * 5000))
    assert len(long) < 600


def test_a_long_training_fits_on_a_screen() -> None:
    curve = {epoch: epoch / 200 for epoch in range(1, 201)}
    note = trial_note(record("complete", curve=curve))
    rows = [line.split("|")[1].strip() for line in note.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + 12
    assert (rows[2], rows[-1]) == ("1", "200")
    assert len(note) < 2045  # One piece of an attribute.


def test_a_curve_as_blocks() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "".join(chr(0x2581 + i) for i in range(8))
    assert sparkline([0.5, 0.5]) == "\u2585\u2585"
    assert sparkline([]) == sparkline([math.nan, math.inf]) == ""
    assert sparkline([1.0, math.nan, -1.0]) == "\u2588 \u2581"
    assert len(sparkline(list(range(1000)))) == 60


def test_evenly_spread() -> None:
    assert spread([1, 2, 3], 3) == [1, 2, 3]
    assert spread(list(range(101)), 5) == [0, 25, 50, 75, 100]


def test_the_study_in_words() -> None:
    note = study_note(
        "my-study", ["Searching: 3 of 9 trials done", "2 complete."], [("data", "a|b: 9")], []
    )
    assert note == (
        "## my\\-study\n\n**Searching: 3 of 9 trials done**\n\n2 complete.\n\n"
        "| plan |  |\n| --- | --- |\n| data | a\\|b: 9 |"
    )
    result = study_note("s", ["Finished"], [("data", "x")], [("test accuracy", "99.00%")])
    assert result.index("| result |") < result.index("| plan |")


def test_text_of_others_is_shown_as_it_is() -> None:
    text = "<script>alert(1)</script> [x](javascript:1) *a* `b` \\ |\n# c ![](http://x/y.png)"
    shown = escaped(text)
    assert shown == (
        "\\<script\\>alert\\(1\\)\\</script\\> \\[x\\]\\(javascript:1\\) \\*a\\* \\`b\\` \\\\ \\| "
        "\\# c \\!\\[\\]\\(http://x/y.png\\)"
    )
