"""Requests that wait together are answered together, each with its own answers."""

import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Queue

import numpy as np
import pytest

from serve.model import Answers
from serve.web.batcher import Batcher
from serve.web.errors import Busy
from serve.web.figures import Figures
from tests.conftest import stripes
from tests.serve.conftest import wait_until


class Slow:
    """A network that says each picture's first pixel, and answers when it is let."""

    at_once = 8

    def __init__(self) -> None:
        self.let, self.batches = threading.Event(), []
        self.entered: Queue[int] = Queue()

    def answer(self, images: np.ndarray) -> Answers:
        self.batches.append(len(images))
        self.entered.put(len(images))
        assert self.let.wait(30)
        if images.max() == 255:
            raise RuntimeError("the network broke")
        said = images.reshape(len(images), -1)[:, :1].astype(np.float32)
        return Answers(said, said + 100)


def images(*values: int) -> np.ndarray:
    return np.stack([np.full((2, 2, 3), value, np.uint8) for value in values])


@pytest.fixture
def slow():
    network = Slow()
    yield network
    network.let.set()


def test_what_waits_makes_up_the_next_batch(slow) -> None:
    batcher = Batcher(slow, 100, figures := Figures())
    with ThreadPoolExecutor(20) as pool:
        first = pool.submit(batcher.answer, images(1), 30)
        slow.entered.get(timeout=30)
        rest = [pool.submit(batcher.answer, images(n, n + 1), 30) for n in range(10, 30, 2)]
        while batcher.waiting < 21:
            pass
        slow.let.set()
        assert first.result().probabilities.tolist() == [[1]]
        for n, one in zip(range(10, 30, 2), rest, strict=True):
            assert one.result().probabilities.ravel().tolist() == [n, n + 1]
            assert one.result().embeddings.ravel().tolist() == [n + 100, n + 101]
    assert slow.batches == [1, 8, 8, 4]
    assert b"convsearch_batch_images_sum 21.0" in figures.text()
    wait_until(lambda: batcher.waiting == 0)


def test_more_than_may_wait_are_turned_away(slow) -> None:
    batcher = Batcher(slow, 5, Figures())
    with ThreadPoolExecutor(2) as pool:
        pool.submit(batcher.answer, images(1), 30)
        slow.entered.get(timeout=30)
        waits = pool.submit(batcher.answer, images(1, 2, 3), 30)
        while batcher.waiting < 4:
            pass
        with pytest.raises(Busy, match="at most 5 pictures may wait, but 4 do"):
            batcher.answer(images(1, 2), 30)
        slow.let.set()
        assert len(waits.result()) == 3


def test_who_gave_up_is_not_answered(slow) -> None:
    batcher = Batcher(slow, 100, Figures())
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(batcher.answer, images(1), 30)
        slow.entered.get(timeout=30)
        with pytest.raises(Busy, match=r"not this request's turn within 0.01 s"):
            batcher.answer(images(2), 0.01)
        slow.let.set()
        first.result()
        batcher.answer(images(3), 30)
    assert slow.batches == [1, 1]


def test_a_fault_reaches_those_who_wait_and_the_next_are_answered(slow) -> None:
    slow.let.set()
    batcher = Batcher(slow, 100, Figures())
    with pytest.raises(RuntimeError, match="the network broke"):
        batcher.answer(images(255), 30)
    assert batcher.answer(images(7), 30).probabilities.tolist() == [[7]]
    assert batcher.alive


def test_answers_are_those_of_the_model(model) -> None:
    pictures, _ = stripes(60, seed=5)
    batcher = Batcher(model, 1000, Figures())
    with ThreadPoolExecutor(12) as pool:
        said = list(pool.map(lambda one: batcher.answer(one[None], 30).probabilities, pictures))
    expected = model.answer(pictures).probabilities
    np.testing.assert_allclose(np.concatenate(said), expected, atol=1e-6)
