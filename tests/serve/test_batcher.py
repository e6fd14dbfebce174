"""Requests that wait together are answered together, each with its own answers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import numpy as np
import pytest
from werkzeug.exceptions import ServiceUnavailable

from serve.model import Prediction
from serve.web.batcher import Batcher
from serve.web.service import Counters
from tests.conftest import stripes
from tests.serve.conftest import wait_until


class Slow:
    """A network that says each picture's first pixel, and answers when it is let."""

    at_once = 8

    def __init__(self) -> None:
        self.let, self.batches = threading.Event(), []
        self.entered: Queue[int] = Queue()

    def predict(self, images: np.ndarray, *, explained: bool = False) -> list[Prediction]:
        self.batches.append(len(images))
        self.entered.put(len(images))
        assert self.let.wait(30)
        if images.max() == 255:
            raise RuntimeError("the network broke")
        pixels = images.reshape(len(images), -1)[:, :1].astype(np.float32)
        return [Prediction(pixel, pixel + 100, None) for pixel in pixels]


def images(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


def pixels(predictions: list[Prediction]) -> list[tuple[float, float]]:
    return [(one.probabilities.item(), one.embedding.item()) for one in predictions]


def new_batcher(model, most_waiting: int, counters: Counters | None = None) -> Batcher:
    counters = counters or Counters()
    return Batcher(model, most_waiting, counters.batches, counters.waiting)


@pytest.fixture
def slow():
    network = Slow()
    yield network
    network.let.set()


def test_what_waits_makes_up_the_next_batch(slow) -> None:
    batcher = new_batcher(slow, 100, counters := Counters())
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(batcher.predict, images(1), 30)
        slow.entered.get(timeout=30)
        rest = [pool.submit(batcher.predict, images(n, n + 1), 30) for n in range(10, 30, 2)]
        while batcher.waiting < 21:
            pass
        slow.let.set()
        assert pixels(first.result()) == [(1, 101)]
        for n, one in zip(range(10, 30, 2), rest, strict=True):
            assert pixels(one.result()) == [(n, n + 100), (n + 1, n + 101)]
    assert slow.batches == [1, 8, 8, 4]
    assert b"convsearch_batch_images_sum 21.0" in counters.text()
    wait_until(lambda: batcher.waiting == 0)


def test_more_than_may_wait_are_turned_away(slow) -> None:
    batcher = new_batcher(slow, 5)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(batcher.predict, images(1), 30)
        slow.entered.get(timeout=30)
        waits = pool.submit(batcher.predict, images(1, 2, 3), 30)
        while batcher.waiting < 4:
            pass
        with pytest.raises(ServiceUnavailable, match="at most 5 pictures may wait, but 4 do"):
            batcher.predict(images(1, 2), 30)
        slow.let.set()
        assert len(waits.result()) == 3


def test_who_gave_up_is_not_answered(slow) -> None:
    batcher = new_batcher(slow, 100)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.predict, images(1), 30)
        slow.entered.get(timeout=30)
        with pytest.raises(ServiceUnavailable, match=r"not this request's turn within 0.01 s"):
            batcher.predict(images(2), 0.01)
        slow.let.set()
        first.result()
        batcher.predict(images(3), 30)
    assert slow.batches == [1, 1]


def test_a_fault_reaches_those_who_wait_and_the_next_are_answered(slow) -> None:
    slow.let.set()
    batcher = new_batcher(slow, 100)
    with pytest.raises(RuntimeError, match="the network broke"):
        batcher.predict(images(255), 30)
    assert pixels(batcher.predict(images(7), 30)) == [(7, 107)]
    assert batcher.alive


def test_predictions_are_those_of_the_model(model) -> None:
    pictures, _ = stripes(60, seed=5)
    batcher = new_batcher(model, 1000)
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: batcher.predict(one[None], 30), pictures))
    np.testing.assert_allclose(
        [one.probabilities for (one,) in found],
        [one.probabilities for one in model.predict(pictures)],
        atol=1e-6,
    )
