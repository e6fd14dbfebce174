"""The engine that a search asks for."""

from importlib.util import find_spec

from search.config import WorkersConfig
from search.workers.engines import Engine
from search.workers.engines.processes import Processes


def engine_for(config: WorkersConfig, storage: str | None) -> Engine:
    """The engine of the config, not started; `storage` is the study's URL, None = SQLite here.

    Raises:
        ValueError: In one sentence, if it is not installed or cannot be reached like this.
    """
    if config.engine == "processes":
        if config.address is not None:
            raise ValueError(
                f"[workers] address names a cluster of Ray, but engine is 'processes' and address "
                f"'{config.address}': give --engine ray, or leave address out"
            )
        return Processes()
    if find_spec("ray") is None:
        raise ValueError(
            "engine 'ray' needs the package 'ray', but it is not installed: "
            "pip install 'convsearch[ray]', or leave --engine out"
        )
    if config.address is not None and config.address.startswith("ray://"):
        raise ValueError(
            f"[workers] address must be auto or host:port of a cluster that this host is part of, "
            f"but got '{config.address}': run the command on a node of it, with auto"
        )
    from search.workers.engines.actors import RayEngine

    return RayEngine(config, storage)
