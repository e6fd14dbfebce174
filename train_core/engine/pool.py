"""`EnginePool`: the buffers of trainings on one data set, kept for the next ones."""

from collections import OrderedDict

from train_core.config import TrainConfig
from train_core.device import free_unused_memory
from train_core.engine.buffers import EngineShape
from train_core.engine.engine import Engine
from train_core.engine.frozen.probe import Probe
from train_core.images import ImageData


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
