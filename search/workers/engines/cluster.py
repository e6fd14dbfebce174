"""Ray's cluster: the one that is named, or one of this host that lasts as long as the search."""

import logging
import os
import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from records.machine import cores
from search.config import WorkersConfig

_STORE = 200 * 2**20  # Bytes for objects on this host: only what workers tell passes through.
_OURS = (signal.SIGINT, signal.SIGTERM)


def disconnect() -> None:
    """Leave the cluster; one that was started for this process ends."""
    ray.shutdown()


def connect(config: WorkersConfig) -> Callable[[], None]:
    """Connect to the cluster, or start one; returns what disconnects, or ends it.

    Raises:
        ValueError: In one sentence, if there is no such cluster.
    """
    if ray.is_initialized():  # By the caller's own program, which also ends it.
        return lambda: None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    own: dict[str, Any] = {"address": "local", "object_store_memory": _STORE}
    own["num_cpus"] = max(cores(), (config.count or 1) * (config.threads or 1))
    named = {"address": config.address}
    before = {number: signal.getsignal(number) for number in _OURS}
    try:
        ray.init(
            **(own if config.address is None else named), namespace="convsearch",
            include_dashboard=None if config.address else False, log_to_driver=False,
            configure_logging=False, logging_level=logging.ERROR,
        )  # fmt: skip
    # Ray raises plain ones too, such as when its start takes longer than 30 seconds.
    except Exception as error:  # noqa: BLE001
        ray.shutdown()  # What had been started.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(_no_cluster(config.address, reason)) from None
    finally:
        if current_thread() is main_thread():  # Signals are the session's.
            for number, handler in before.items():
                signal.signal(number, handler)
    return disconnect


def _no_cluster(address: str | None, reason: str) -> str:
    if address is None:
        return (
            f"engine 'ray' without [workers] address starts a cluster on this host, but that "
            f"failed ({reason}): run the command again when less else runs here, or leave "
            f"--engine out"
        )
    return (
        f"[workers] address must be that of a Ray cluster which this host is part of, but "
        f"'{address}' does not answer ({reason}): `ray start` makes this host part of one"
    )


def node_here() -> NodeAffinitySchedulingStrategy:
    """Places an actor on this host and nowhere else."""
    here = ray.get_runtime_context().get_node_id()
    return NodeAffinitySchedulingStrategy(node_id=here, soft=False)
