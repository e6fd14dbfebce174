"""Database servers of our own, where they are installed."""

import getpass
import os
import shutil
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

import pytest

_PATH = f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin"


class Server(ABC):
    """A server on a socket, with an empty database `studies`."""

    url: str

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it answers."""

    @abstractmethod
    def kill(self) -> None:
        """As a power cut would."""

    def restart(self) -> None:
        self.kill()
        self.start()


class PostgreSQL(Server):
    def __init__(self, folder: Path) -> None:
        psycopg = pytest.importorskip("psycopg", reason="PostgreSQL: psycopg is not installed")
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            pytest.skip("PostgreSQL: no server is installed")
        self.folder, self.binaries, self.data = folder, found[-1].parent, folder / "data"
        self.user = _unprivileged(folder)
        _as(self.user, self.binaries / "initdb", "-D", self.data, "-U", "test", "-A", "trust")
        self.start()
        with psycopg.connect(
            host=str(folder), user="test", dbname="postgres", autocommit=True
        ) as made:
            made.execute("CREATE DATABASE studies")
        self.url = f"postgresql+psycopg://test@/studies?host={folder}"

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c fsync=off"
        words = ["-D", self.data, "-w", "-l", self.folder / "log", "-o", options, "start"]
        deadline = time.monotonic() + 30
        while True:
            try:
                return _as(self.user, self.binaries / "pg_ctl", *words)
            # Those that served a client before are still ending.
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()
                time.sleep(0.1)

    def kill(self) -> None:
        pid = int((self.data / "postmaster.pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists() and not _is_zombie(pid):
            time.sleep(0.02)


class MariaDB(Server):
    def __init__(self, folder: Path) -> None:
        pymysql = pytest.importorskip("pymysql", reason="MySQL: PyMySQL is not installed")
        server = shutil.which("mariadbd", path=_PATH)
        if server is None:
            pytest.skip("MySQL: no server is installed")
        self.folder, self.socket = folder, folder / "socket"
        user = f"--user={_unprivileged(folder)}"
        own = [user, f"--datadir={folder / 'data'}", f"--tmpdir={folder}"]
        login = "--auth-root-authentication-method=normal"
        installed = ["mariadb-install-db", "--no-defaults", *own, login, "--skip-test-db"]
        subprocess.run(installed, check=True, capture_output=True, timeout=60)
        self.command = [
            server, "--no-defaults", *own, f"--socket={self.socket}", "--skip-networking",
        ]  # fmt: skip
        self.start()
        with pymysql.connect(unix_socket=str(self.socket), user="root") as made:
            made.cursor().execute("CREATE DATABASE studies")
        self.url = f"mysql+pymysql://root@localhost/studies?unix_socket={self.socket}"

    def start(self) -> None:
        self.socket.unlink(missing_ok=True)
        with (self.folder / "log").open("w") as log:
            self.process = subprocess.Popen(self.command, stderr=log)
        while not self.socket.exists():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def own_server(kind: str, folder: Path) -> Iterator[Server]:
    """A server for as long as it is needed."""
    folder.mkdir(exist_ok=True)
    server = PostgreSQL(folder) if kind == "postgresql" else MariaDB(folder)
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgresql_url(tmp_path_factory):
    """A PostgreSQL server of our own on a socket, for the length of the tests."""
    for server in own_server("postgresql", tmp_path_factory.mktemp("pg")):
        yield server.url


@pytest.fixture(scope="session")
def mysql_url(tmp_path_factory):
    """A MariaDB server of our own on a socket, for the length of the tests."""
    for server in own_server("mysql", tmp_path_factory.mktemp("my")):
        yield server.url


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


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
