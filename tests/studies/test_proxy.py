"""Studies behind the gRPC proxy: the same broker, the same lock, whichever way one comes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from studies.connection.outage import LockLost, told
from studies.storage import open_storage
from studies.study import Place, find, make_or_resume
from tests.studies.conftest import begun, purpose
from tests.studies.workers import broker_of, run_one

pytest.importorskip("grpc", reason="the proxy: grpcio is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
]


@pytest.fixture
def proxy(here, tmp_path):
    """A proxy before a SQLite file: the place behind it, and the same through it."""
    from studies.proxy import serve

    runs = tmp_path.parent
    server, port = serve(here.url, "127.0.0.1", 0, runs)
    yield server, Place("test", tmp_path / "client", f"grpc://127.0.0.1:{port}"), port
    server.stop(None).wait()


def test_a_study_through_a_proxy_ends_with_exactly_as_many_trials(proxy, here) -> None:
    _, place, _ = proxy
    study = begun(place)
    brokers = [broker_of(study, place, 4), broker_of(begun(here), here, 4)]
    while True:
        claims = [claim for broker in brokers for claim in broker.claim(1).trials]
        if not claims:
            break
        for broker in brokers:
            for claim in [c for c in claims if c.number in broker._trials]:
                run_one(broker, claim)
    assert [trial.value for trial in find(place).get_trials()] == [
        trial.value for trial in find(here).get_trials()
    ]
    assert len(find(here).get_trials()) == 4
    make_or_resume(place, purpose())


def test_a_lock_is_the_same_on_both_ways(proxy, here) -> None:
    server, place, _ = proxy
    order, inside = [], threading.Event()

    def through_proxy() -> None:
        with place.lock():
            order.append("proxy")
            inside.set()

    with ThreadPoolExecutor(1) as pool:
        with here.lock():
            waiting = pool.submit(through_proxy)
            assert not inside.wait(0.5)
            order.append("file")
        waiting.result(timeout=10)
        with here.lock():  # It was given back.
            order.append("file")
    assert order == ["file", "proxy", "file"]
    with pytest.raises(LockLost, match="is gone with the proxy"), place.lock():
        server.stop(None).wait()


def test_a_proxy_that_is_started_again_is_waited_for(proxy, here, tmp_path) -> None:
    from studies.proxy import serve

    server, place, port = proxy
    study, lines = begun(place), []
    server.stop(None).wait()
    started: list = []
    timer = threading.Timer(
        1.0, lambda: started.append(serve(here.url, "127.0.0.1", port, tmp_path.parent))
    )
    with told(lines.append):
        timer.start()
        study.set_user_attr("a", 1)
    timer.join()
    assert find(here).user_attrs["a"] == 1
    assert ["does not answer" in lines[0], "answers again" in lines[-1]] == [True, True]
    started[0][0].stop(None).wait()


def test_where_no_proxy_is_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setattr("studies.connection.remote._PATIENCE", 0.2)
    with pytest.raises(ValueError, match="grpc://127.0.0.1:9': no proxy answers there"):
        open_storage("grpc://127.0.0.1:9")
