"""One made study with everything in it, and its page; read, never changed."""

import pytest

from reports.run import write_report
from tests.reports.making import make_study, usual, write_best


@pytest.fixture(scope="package")
def made(tmp_path_factory):
    """A finished study of 24 trials, confirmed and exported, with its report."""
    confirmed = {0: [0.84, 0.85, 0.83], 3: [0.82, 0.83, 0.82]}
    place = make_study(tmp_path_factory.mktemp("runs"), usual(), total=23, confirmed=confirmed)
    write_best(place)
    write_report(place)
    return place
