"""A search on two nodes of a cluster on this machine, of which parts are really killed."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import optuna
import pytest

ray = pytest.importorskip("ray", reason="needs the package 'ray' (pip install 'convsearch[ray]')")

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::Warning"),  # Of Ray itself.
]  # fmt: skip

ROOT = Path(__file__).parents[2]
TRIALS = 10
SEARCH = """
trials = {trials}
report = false
[data]
dataset = "digits"
root = "{root}"
[study]
name = "here"
[workers]
engine = "ray"
address = "{address}"
count = 4
threads = 1
checkpoint_every = 0.0
[training]
epochs = 8
width = 8
[confirm]
top = 1
seeds = 1
"""


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes with two places each; only the first has the search and its broker."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    node = {"num_cpus": 2, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    cluster.second = cluster.add_node(**node)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, namespace="convsearch", log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class Search:
    """The command, run in a folder."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        text = SEARCH.format(trials=TRIALS, root=folder / "data", address=address)
        (folder / "search.toml").write_text(text)
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        with (self.folder / "errors").open("a") as errors:
            command = [sys.executable, "-m", "search.run", "--config", "search.toml"]
            return subprocess.Popen(
                command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=errors, env=os.environ
            )

    def log(self) -> str:
        file = self.folder / "runs/here/search.log"
        return file.read_text() if file.is_file() else ""

    def wait_for(self, ended: int) -> None:
        """Until so many trials have ended."""
        while self.log().count(" complete at ") + self.log().count(" pruned ") < ended:
            assert self.process.poll() is None, (self.folder / "errors").read_text()
            time.sleep(0.1)

    def counts(self) -> Counter:
        study = optuna.load_study(
            study_name="here", storage=f"sqlite:///{self.folder}/runs/here/study.db"
        )
        return Counter(t.state.name for t in study.get_trials(deepcopy=False))


def kill_broker() -> None:
    (name,) = [n for n in ray.util.list_named_actors() if n.startswith("broker of")]
    ray.kill(ray.get_actor(name), no_restart=False)


def test_exactly_as_many_trials_whatever_is_killed(cluster, tmp_path) -> None:
    search = Search(tmp_path, cluster.address)
    search.wait_for(1)
    kill_broker()
    search.wait_for(3)
    cluster.remove_node(cluster.second, allow_graceful=False)
    search.wait_for(5)
    assert "died" in search.log()
    search.process.kill()
    search.process.wait()
    search.process = search.start()
    assert search.process.wait() == 0, (tmp_path / "errors").read_text()
    counts = search.counts()
    assert counts["COMPLETE"] + counts["PRUNED"] == TRIALS
    assert counts["RUNNING"] == counts["WAITING"] == 0
    assert (tmp_path / "runs/here/best/model.onnx").is_file()
