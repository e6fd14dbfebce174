"""What a search should know about the machine before it plans: device, precision, speed."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from records.machine import versions
from search.plan import Plan
from search.workers.events import Event
from search.workers.worker import Worker
from train_core.config import RecipeName


@dataclass(frozen=True)
class Machine:
    """What trains here.

    Attributes:
        device: In words.
        gpus: How many there are.
        precision: Of `precision = "auto"`, "bfloat16" or "float32".
    """

    device: str
    gpus: int
    precision: str

    @property
    def recipe(self) -> RecipeName:
        """The recipe for those who name none."""
        return "fast" if self.gpus else "cpu"

    def facts(self) -> dict[str, Any]:
        """What a report says about this machine, JSON-able."""
        return {"device": self.device, "precision": self.precision, "versions": versions()}


@dataclass(frozen=True)
class LookAround:
    """The task of finding out what trains here."""

    def run(self, worker: Worker) -> Generator[Event, None, Machine]:
        """Ask torch."""
        import torch

        from train_core.device import device_name, resolve_precision

        yield from ()
        dtype = resolve_precision("auto", worker.device)
        return Machine(
            device_name(worker.device),
            torch.cuda.device_count(),
            str(dtype).removeprefix("torch."),
        )


@dataclass(frozen=True)
class MeasureSpeed:
    """The task of measuring images per second of the default configuration."""

    plan: Plan

    def run(self, worker: Worker) -> Generator[Event, None, float | None]:
        """Train a few steps; the data and the buffers stay for the trials.

        Returns:
            Images per second; None if the device cannot hold the training.
        """
        from train_core.device import is_out_of_memory
        from train_core.fit import measure_speed

        yield from ()
        engines = worker.engines(self.plan.data, self.plan.config.data)
        try:
            return measure_speed(self.plan.training, engines)
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or is_out_of_memory(error)):
                raise
        engines.clear()
        return None
