"""Studies on every storage that can be had here: one behavioural suite, many backends."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from space import parse_space
from studies.config import StudyConfig
from studies.study import Place, Purpose, make_or_resume, work_on

SPACE = parse_space(
    "test",
    {
        "lr": {"type": "float", "low": 0.1, "high": 10.0, "log": True},
        "batch_size": {"type": "choice", "choices": [128, 256, 512]},
        "depth": {"type": "int", "low": 1, "high": 3},
    },
)
FIRST = {"lr": 1.0, "batch_size": 256, "depth": 2}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path) -> Place:
    """Where a study can be; PostgreSQL only where a server is installed."""
    if request.param == "sqlite":
        return Place("test", tmp_path)
    url = request.getfixturevalue("postgresql_url")
    return Place(f"test-{tmp_path.name}", tmp_path, url)


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory):
    """A PostgreSQL server of our own on a socket, for the length of the tests."""
    psycopg = pytest.importorskip("psycopg", reason="PostgreSQL: psycopg is not installed")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("PostgreSQL: no server is installed")
    folder = tmp_path_factory.mktemp("pg")
    binaries, data = found[-1].parent, folder / "data"
    user = _unprivileged(folder)
    _as(user, binaries / "initdb", "-D", data, "-U", "test", "-A", "trust")
    options = f"-k {folder} -c listen_addresses='' -c fsync=off"
    _as(user, binaries / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
    with psycopg.connect(
        host=str(folder), user="test", dbname="postgres", autocommit=True
    ) as made:
        made.execute("CREATE DATABASE studies")
    yield f"postgresql+psycopg://test@/studies?host={folder}"
    _as(user, binaries / "pg_ctl", "-D", data, "-m", "immediate", "stop")


def _unprivileged(folder: Path) -> str:
    """PostgreSQL refuses to run as root: lend the folder to somebody else."""
    if os.getuid() != 0:
        return getpass.getuser()
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)
    shutil.chown(folder, "nobody")
    return "nobody"


def _as(user: str, *command: object) -> None:
    words = [str(word) for word in command]
    if user != getpass.getuser():
        words = ["runuser", "-u", user, "--", *words]
    subprocess.run(words, check=True, capture_output=True, timeout=60, cwd="/")


def purpose(**changes) -> Purpose:
    return Purpose({"epochs": 6, "lr": {"low": 0.1}, **changes}, {"trials": 5}, FIRST)


def begun(place: Place, config: StudyConfig | None = None, first: bool = True):
    """The study, made if need be, as a worker opens it."""
    wanted = purpose() if first else Purpose(purpose().fingerprint, {}, None)
    make_or_resume(place, wanted)
    return work_on(place, config or StudyConfig(pruner="none"), SPACE, epochs=6)
