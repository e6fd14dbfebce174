"""Which engine a search asks for, and what is refused."""

import pytest

from search.config import WorkersConfig
from search.workers.engines.chosen import engine_for
from search.workers.engines.processes import Processes


def test_processes_are_the_usual_engine() -> None:
    engine = engine_for(WorkersConfig(), None)
    assert isinstance(engine, Processes)
    assert [engine.places(gpus) for gpus in (0, 1, 4)] == [1, 1, 4]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"address": "auto"}, "but engine is 'processes' and address 'auto': give --engine ray"),
        ({"engine": "ray"}, r"not installed: pip install 'convsearch\[ray\]', or leave --engine"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(asked, sentence, monkeypatch) -> None:
    monkeypatch.setattr("search.workers.engines.chosen.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=sentence):
        engine_for(WorkersConfig(**asked), None)


def test_a_client_that_is_no_node_is_refused(monkeypatch) -> None:
    monkeypatch.setattr("search.workers.engines.chosen.find_spec", lambda name: name)
    with pytest.raises(ValueError, match="but got 'ray://head:10001': run the command on a node"):
        engine_for(WorkersConfig(engine="ray", address="ray://head:10001"), None)
