"""`Batcher`: pictures of requests that arrive together go through the network together."""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from serve.model import Answers, Model
from serve.web.errors import Busy
from serve.web.figures import Figures


@dataclass(frozen=True)
class _Job:
    images: np.ndarray
    done: Future[Answers] = field(default_factory=Future)


class Batcher:
    """One thread that runs the network; what arrives while it is busy makes up its next batch.

    Nobody waits for a batch to fill up: alone, a request is answered at once.
    """

    def __init__(self, model: Model, most_waiting: int, figures: Figures) -> None:
        """Start with an empty queue; the thread starts with the first request.

        Args:
            model: What answers.
            most_waiting: How many pictures may wait for their answer, those that the network looks
                at included; a request beyond that is turned away.
            figures: What batches and waiting pictures are counted in.
        """
        self._model, self._most_waiting, self._figures = model, most_waiting, figures
        self._changed = threading.Condition()
        self._jobs: deque[_Job] = deque()
        self._thread: threading.Thread | None = None
        self.waiting = 0

    @property
    def alive(self) -> bool:
        """Whether requests are answered; before the first one, too."""
        return self._thread is None or self._thread.is_alive()

    def answer(self, images: np.ndarray, seconds: float) -> Answers:
        """Wait for what the model says of `(N, side, side, 3)` uint8 images.

        Raises:
            Busy: Too many wait already, or the time is over.
        """
        job = _Job(images)
        with self._changed:
            if self.waiting + len(images) > self._most_waiting:
                raise Busy(
                    f"at most {self._most_waiting} pictures may wait, but {self.waiting} do: try "
                    f"again in a moment"
                )
            self._start()
            self._jobs.append(job)
            self._wait_more(len(images))
            self._changed.notify()
        try:
            return job.done.result(seconds)
        except TimeoutError:
            job.done.cancel()
            raise Busy(f"it was not this request's turn within {seconds:g} s: try again") from None

    def _start(self) -> None:
        """In the process that answers, which a server may have forked."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="network", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            taken = self._next()
            jobs = [job for job in taken if job.done.set_running_or_notify_cancel()]
            said = self._ask(jobs) if jobs else None
            # Before they hear of it, since their next request may follow at once.
            with self._changed:
                self._wait_more(-sum(len(job.images) for job in taken))
            if said is not None:
                _tell(jobs, said)

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
        self._figures.waiting(self.waiting)

    def _ask(self, jobs: list[_Job]) -> Answers | Exception:
        try:
            images = np.concatenate([job.images for job in jobs])
            self._figures.batch(len(images))
            return self._model.answer(images)
        # Whatever it is, those who wait must hear of it, and the thread must live on.
        except Exception as error:  # noqa: BLE001
            return error


def _tell(jobs: list[_Job], said: Answers | Exception) -> None:
    """Everybody their part."""
    start = 0
    for job in jobs:
        if isinstance(said, Exception):
            job.done.set_exception(said)
        else:
            job.done.set_result(said.rows(start, start + len(job.images)))
        start += len(job.images)
