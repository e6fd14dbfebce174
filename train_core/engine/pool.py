"""`EnginePool`: the buffers of trainings on one data set; `Folds`: those of all its folds."""

from collections import OrderedDict

from records.words import Objective
from train_core.config import TrainConfig
from train_core.device import free_unused_memory
from train_core.engine.buffers import EngineShape
from train_core.engine.captures import Captures, captures_on
from train_core.engine.engine import Engine
from train_core.engine.frozen.probe import Probe
from train_core.images import ImageData
from train_core.images.folds import FoldData

_KEPT = {False: 4, True: 16}
"""Engines that a pool keeps at most, with eager steps and with captured ones: buffers are made in
milliseconds; a captured step is worth its memory, for more shapes than the default space has."""


class EnginePool:
    """Engines by shape, for trainings on one data set; the least recently used one goes first.

    Eager and captured ones are counted apart: neither costs the other its place.

    Args:
        data: What the trainings are on.
        captures: What records steps; None = what there is on the data's device.
    """

    def __init__(self, data: ImageData, captures: Captures | None = None) -> None:
        self.data = data
        self._captures = captures or captures_on(data.device)
        self._engines: OrderedDict[EngineShape, Engine | Probe] = OrderedDict()

    def engine(self, config: TrainConfig) -> Engine | Probe:
        """The engine for this config, made when it is first needed."""
        shape = self.shape(config)
        if shape not in self._engines:
            alike = self._of_kind(captured=shape.cuda_graph)
            for old in alike[: max(0, len(alike) + 1 - _KEPT[shape.cuda_graph])]:
                del self._engines[old]
            self._engines[shape] = (
                Probe(shape, self.data)
                if shape.method == "probe"
                else Engine(shape, self.data, self._captures)
            )
        self._engines.move_to_end(shape)
        return self._engines[shape]

    def shape(self, config: TrainConfig) -> EngineShape:
        """The shape of this config's engine."""
        return EngineShape.of(config, self.data, captures=self._captures is not None)

    @property
    def shapes(self) -> set[EngineShape]:
        """Those whose engines exist now."""
        return set(self._engines)

    def make_room(self, config: TrainConfig) -> bool:
        """Memory ran out in a training with this config: let go of its buffers and of others.

        The least recently used captured step goes; where there is none any more, all others do.

        Returns:
            Whether there were others, so that it is worth trying again.
        """
        # A capture that failed half-way leaves it unusable.
        self._engines.pop(self.shape(config), None)
        gone = self._of_kind(captured=True)[:1] or list(self._engines)
        for shape in gone:
            del self._engines[shape]
        free_unused_memory(self.data.device)
        return bool(gone)

    def clear(self) -> None:
        """Let go of all buffers, for instance after running out of memory."""
        self._engines.clear()
        free_unused_memory(self.data.device)

    def _of_kind(self, *, captured: bool) -> list[EngineShape]:
        """The least recently used one first."""
        return [shape for shape in self._engines if shape.cuda_graph == captured]


class Folds:
    """Where trainings on the folds of one data set take place: buffers for one fold at a time.

    Attributes:
        pools: For every fold, its data and its buffers; one alone is the usual split.
        held_out: For every fold, the rows of the training part that are held out, `(N,)`.
        digest: A text that is the same exactly when the folds are.
        objective: What trainings are scored by.
        trained: Number, from 1, of the fold whose network is in its pool as the last record left
            it; None = of no fold.
    """

    def __init__(self, folds: FoldData, objective: Objective = "accuracy") -> None:
        self.pools = [EnginePool(data) for data in folds.data]
        self.held_out, self.digest, self.objective = folds.held_out, folds.digest, objective
        self.trained: int | None = None

    def __len__(self) -> int:
        return len(self.pools)

    def only(self, number: int) -> EnginePool:
        """The pool of this fold, from 1; the buffers of the others are let go."""
        for place, pool in enumerate(self.pools, 1):
            if place != number and pool.shapes:
                pool.clear()
        return self.pools[number - 1]

    def clear(self) -> None:
        """Let go of all buffers."""
        for pool in self.pools:
            pool.clear()
