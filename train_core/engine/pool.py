"""`EnginePool`: the buffers of trainings on one data set; `Folds`: those of all its folds."""

from collections import OrderedDict

from records.words import Objective
from train_core.config import TrainConfig
from train_core.device import free_unused_memory
from train_core.engine.buffers import EngineShape
from train_core.engine.engine import Engine
from train_core.engine.frozen.probe import Probe
from train_core.images import ImageData
from train_core.images.folds import FoldData


class EnginePool:
    """Engines by shape, for trainings on one data set; the least recently used one goes first."""

    def __init__(self, data: ImageData) -> None:
        self.data = data
        self._engines: OrderedDict[EngineShape, Engine | Probe] = OrderedDict()

    def engine(self, config: TrainConfig) -> Engine | Probe:
        """The engine for this config, made when it is first needed."""
        shape = EngineShape.of(config, self.data)
        if shape not in self._engines:
            # Buffers are made in milliseconds; a captured step is worth its memory, for more
            # shapes than the default space has.
            while len(self._engines) >= (16 if shape.cuda_graph else 4):
                self._engines.popitem(last=False)
            kind = Probe if shape.method == "probe" else Engine
            self._engines[shape] = kind(shape, self.data)
        self._engines.move_to_end(shape)
        return self._engines[shape]

    @property
    def shapes(self) -> set[EngineShape]:
        """Those whose engines exist now."""
        return set(self._engines)

    def clear(self) -> None:
        """Let go of all buffers, for instance after running out of memory."""
        self._engines.clear()
        free_unused_memory(self.data.device)


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
