"""Database servers of our own, where they are installed."""

import getpass
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

_PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


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


@pytest.fixture(scope="session")
def mysql_url(tmp_path_factory):
    """A MariaDB server of our own on a socket, for the length of the tests."""
    pymysql = pytest.importorskip("pymysql", reason="MySQL: PyMySQL is not installed")
    server = shutil.which("mariadbd", path=_PATH)
    if server is None:
        pytest.skip("MySQL: no server is installed")
    folder = tmp_path_factory.mktemp("my")
    socket = folder / "socket"
    own = [f"--user={_unprivileged(folder)}", f"--datadir={folder / 'data'}", f"--tmpdir={folder}"]
    login = "--auth-root-authentication-method=normal"
    installed = ["mariadb-install-db", "--no-defaults", *own, login, "--skip-test-db"]
    subprocess.run(installed, check=True, capture_output=True, timeout=60)
    command = [server, "--no-defaults", *own, f"--socket={socket}", "--skip-networking"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stderr=log)
    while not socket.exists():
        assert process.poll() is None, (folder / "log").read_text()
        time.sleep(0.05)
    with pymysql.connect(unix_socket=str(socket), user="root") as made:
        made.cursor().execute("CREATE DATABASE studies")
    yield f"mysql+pymysql://root@localhost/studies?unix_socket={socket}"
    process.kill()
    process.wait()


def _unprivileged(folder: Path) -> str:
    """Both refuse to run as root: lend the folder to somebody else."""
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
