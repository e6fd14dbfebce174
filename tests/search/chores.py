"""Tasks for worker processes, which import this module: without torch they start quickly."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from records.outcome import Outcome, State
from search.workers.events import Began, Ended, EpochEnded


@dataclass(frozen=True)
class Answer:
    """A task that returns what it was given."""

    what: str

    def run(self, worker):
        yield from ()
        return self.what


@dataclass(frozen=True)
class Die:
    """A task that no process survives."""

    def run(self, worker):
        yield from ()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Patiently:
    """A task that lasts until everybody is asked to come to an end."""

    def run(self, worker):
        yield Began("waiting", "", 1)
        while not worker.stopping:
            time.sleep(0.05)
        return "stopped"


@dataclass(frozen=True)
class LoseTheDevice:
    """A task whose first process loses its GPU; the file remembers that there was one."""

    before: Path

    def run(self, worker):
        yield from ()
        if self.before.exists():
            return "done"
        self.before.touch()
        import torch

        worker.device = torch.device("cuda")
        raise RuntimeError("CUDA error: device-side assert triggered\nCompile with")


@dataclass(frozen=True)
class HangOnce:
    """A task whose first process hangs in the second epoch; the file remembers it."""

    before: Path
    trial: int | None

    def run(self, worker):
        yield Began("training", "", 2, self.trial)
        yield EpochEnded("training", 1, 0.5, 1.0)
        if not self.before.exists():
            self.before.touch()
            time.sleep(1000)
        yield Ended("training", Outcome(State.COMPLETE))
        # Not in a training, a worker may be silent for as long as it likes.
        time.sleep(3)
        return "done"
