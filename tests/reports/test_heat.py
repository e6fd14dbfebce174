"""Wrong answers on the page: each with where the model saw what it said, if the export tells."""

import json

import numpy as np
import pytest

from reports.run import write_report
from reports.source import read_source
from tests.reports.making import make_study, usual, write_best

pytestmark = pytest.mark.slow


@pytest.fixture
def place(tmp_path):
    found = make_study(tmp_path, usual(1))
    write_best(found)
    return found


def evaluation_with(place, **changes) -> None:
    path = place.folder / "best" / "evaluation.npz"
    with np.load(path) as file:
        held = {name: file[name] for name in file.files} | changes
    np.savez_compressed(path, **{name: array for name, array in held.items() if array is not None})


def test_every_error_has_its_overlay_beside_it(place) -> None:
    text = write_report(place).read_text()
    assert text.count('alt="Where it sees ') == len(read_source(place).predictions.heat) == 4
    assert "a class-activation map (Zhou et al., 2016)" in text
    assert text.count('class="pictures tiny pairs"') == 1


def test_older_exports_are_shown_as_ever(place) -> None:
    evaluation_with(place, heat=None)
    text = write_report(place).read_text()
    assert read_source(place).predictions.heat is None
    assert text.count('class="pair"') == 4
    for words in ("Where it sees", "class-activation", "cannot show where", "tiny pairs"):
        assert words not in text


def test_a_model_without_maps_says_why(place) -> None:
    evaluation_with(place, heat=None)
    path = place.folder / "best" / "metrics.json"
    reason = "timm/x has no last map: it is not convolutional, or does not offer it"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"maps": reason}))
    assert f"They cannot show where the model looks: {reason}." in write_report(place).read_text()


def test_heat_of_other_pictures_is_damage(place) -> None:
    evaluation_with(place, heat=np.zeros((3, 2, 2)))
    source = read_source(place)
    assert source.predictions is None
    assert source.missing == (
        "best/evaluation.npz cannot be read: its arrays do not fit together.",
    )
