"""`Batcher`: pictures of requests that arrive together go through the network together."""

import threading
from collections import deque
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from prometheus_client import Gauge, Histogram
from werkzeug.exceptions import ServiceUnavailable

from serve.model import Model, Prediction


class _Job(NamedTuple):
    images: np.ndarray
    explained: bool
    done: Future[list[Prediction]]


class Batcher:
    """One thread that runs the network; what arrives while it is busy makes up its next batch.

    Nobody waits for a batch to fill up: alone, a request is answered at once. At most
    `most_waiting` pictures may wait for their prediction, including those in the network.
    """

    def __init__(self, model: Model, most_waiting: int, sizes: Histogram, waiting: Gauge) -> None:
        self._model, self._most_waiting = model, most_waiting
        self._sizes, self._gauge = sizes, waiting
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self.waiting = 0

    @property
    def alive(self) -> bool:
        """Whether requests are answered; before the first one, too."""
        return self._thread is None or self._thread.is_alive()

    def predict(
        self, images: np.ndarray, seconds: float, *, explained: bool = False
    ) -> list[Prediction]:
        """Wait for what the model says of `(N, side, side, 3)` uint8 images.

        Where it looks is there if it was asked for, by `explained`, and perhaps if not.

        Raises:
            ServiceUnavailable: Too many wait already, or the time is over.
        """
        job = _Job(images, explained, Future())
        with self._changed:
            if self.waiting + len(images) > self._most_waiting:
                raise ServiceUnavailable(
                    f"at most {self._most_waiting} pictures may wait, but {self.waiting} do: try "
                    f"again in a moment"
                )
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="network", daemon=True)
                self._thread.start()
            self._jobs.append(job)
            self._wait_more(len(images))
            self._changed.notify()
        try:
            return job.done.result(seconds)
        except TimeoutError:
            job.done.cancel()
            raise ServiceUnavailable(
                f"it was not this request's turn within {seconds:g} s: try again"
            ) from None

    def _run(self) -> None:
        while True:
            taken = self._next()
            jobs = [job for job in taken if job.done.set_running_or_notify_cancel()]
            found = self._ask(jobs) if jobs else []
            # Before they hear of it, since their next request may follow at once.
            with self._changed:
                self._wait_more(-sum(len(job.images) for job in taken))
            for job in jobs:
                if isinstance(found, Exception):
                    job.done.set_exception(found)
                else:
                    job.done.set_result(found[: len(job.images)])
                    found = found[len(job.images) :]

    def _next(self) -> list[_Job]:
        """As many requests as fit into one run of the network, at least one."""
        with self._changed:
            while not self._jobs:
                self._changed.wait()
            taken = [self._jobs.popleft()]
            room = self._model.at_once - len(taken[0].images)
            while self._jobs and len(self._jobs[0].images) <= room:
                taken.append(self._jobs.popleft())
                room -= len(taken[-1].images)
            return taken

    def _wait_more(self, count: int) -> None:
        self.waiting += count
        self._gauge.set(self.waiting)

    def _ask(self, jobs: list[_Job]) -> list[Prediction] | Exception:
        try:
            images = np.concatenate([job.images for job in jobs])
            self._sizes.observe(len(images))
            return self._model.predict(images, explained=any(job.explained for job in jobs))
        # Whatever it is, those who wait must hear of it, and the thread must live on.
        except Exception as error:  # noqa: BLE001
            return error
