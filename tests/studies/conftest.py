"""Studies on every storage that can be had here: one behavioural suite, many backends."""

import pytest

from space import parse_space
from studies.config import StudyConfig
from studies.study import Place, Purpose, make_or_resume, work_on
from tests.studies.servers import mysql_url as mysql_url
from tests.studies.servers import postgresql_url as postgresql_url

SPACE = parse_space(
    "test",
    {
        "lr": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
        "batch_size": {"type": "choice", "choices": [128, 256, 512]},
        "depth": {"type": "int", "low": 1, "high": 3},
    },
)
FIRST = {"lr": 1.0, "batch_size": 256, "depth": 2}


SERVERS = [pytest.param(name, marks=pytest.mark.slow) for name in ("postgresql", "mysql")]
"""Storages that need a server of their own."""


@pytest.fixture(params=["sqlite", *SERVERS])
def place(request, tmp_path) -> Place:
    """Where a study can be; servers only where they are installed."""
    if request.param == "sqlite":
        return Place("test", tmp_path)
    url = request.getfixturevalue(f"{request.param}_url")
    return Place(f"test-{tmp_path.name}", tmp_path, url)


@pytest.fixture
def here(tmp_path) -> Place:
    """A study in SQLite, for rules that ask no more of a storage than others at every `place`."""
    return Place("test", tmp_path)


def purpose(**changes) -> Purpose:
    return Purpose({"epochs": 6, "lr": {"low": 0.1}, **changes}, {"trials": 5}, FIRST)


def begun(place: Place, config: StudyConfig | None = None, first: bool = True):
    """The study, made if need be, as a worker opens it."""
    wanted = purpose() if first else Purpose(purpose().fingerprint, {}, None)
    make_or_resume(place, wanted)
    return work_on(place, config or StudyConfig(pruner="none"), SPACE, epochs=6)
