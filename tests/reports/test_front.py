"""The front of a study with several objectives: its numbers, its figures, and the page."""

import json

import plotly.graph_objects as go

from reports.figures.front import front_drawings
from reports.numbers.front import offers
from reports.run import write_report
from reports.source import read_source
from tests.reports.making import make_study, trial, usual, write_best

# Accuracy and parameters of trials, by number.
TRIALS = [(0.90, 1e6), (0.88, 1e4), (0.70, 1e3), (0.85, 5e5), (0.60, 1e5)]


def made(folder, **latencies):
    """A study of five trials, of which the first three are the front, and a pruned one."""
    found = [
        trial(n, curve=[accuracy / 2, accuracy], costs={"parameters": size, **latencies})
        for n, (accuracy, size) in enumerate(TRIALS)
    ]
    objectives = ("accuracy", "parameters", *latencies)
    return make_study(folder, [*found, trial(5, "pruned")], objectives=objectives)


def test_the_front_its_knee_and_how_to_export_each(tmp_path) -> None:
    place = made(tmp_path)
    front = offers(read_source(place))
    assert [o.number for o in front.best] == [0, 1, 2]
    assert [o.number for o in front.offers] == [0, 1, 2, 3, 4]
    assert [o.number for o in front.best if o.knee] == [1]
    assert not any(o.exported for o in front.offers)
    command = "python -m search.finalize --study made --runs "
    assert all(o.command.startswith(command) for o in front.best)
    assert front.best[2].command.endswith(" --pick 2")


def test_a_study_with_one_objective_has_none(tmp_path) -> None:
    assert offers(read_source(make_study(tmp_path, usual(3)))) is None


def test_a_figure_for_each_cost(tmp_path) -> None:
    first, second = front_drawings(offers(read_source(made(tmp_path, latency=0.002))))
    assert [first.key, second.key] == ["front-parameters", "front-latency"]
    beaten, front, knee = first.figure.data
    assert (list(front.x), list(front.y)) == ([1e3, 1e4, 1e6], [0.70, 0.88, 0.90])
    assert list(beaten.customdata) == [4, 3]
    assert list(knee.customdata) == [1]
    assert isinstance(second.figure, go.Figure)
    assert set(second.figure.data[1].x) == {2.0}  # Milliseconds.
    assert [d.figure.layout.xaxis.type for d in (first, second)] == ["log", "linear"]
    assert "of 5 complete trials; 3 of them are on the front, from 90.00% down" in first.alt


def test_the_page_shows_it_with_a_command_for_each(tmp_path) -> None:
    place = made(tmp_path)
    write_best(place, trial_number=1)
    page = write_report(place).read_text()
    for part in ('id="front"', 'data-figure="front-parameters"', "<td>knee, exported</td>",
                 "--pick 0</code>", "10,000 parameters", "chosen by accuracy alone"):  # fmt: skip
        assert part in page, part
    assert "--pick 3" not in page
    summary = json.loads((place.folder / "report" / "summary.json").read_text())
    assert [o["number"] for o in summary["front"]["offers"] if o["on_front"]] == [0, 1, 2]


def test_other_pages_have_no_such_section(tmp_path) -> None:
    assert 'id="front"' not in write_report(make_study(tmp_path, usual(3))).read_text()
