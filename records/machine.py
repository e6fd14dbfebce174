"""What this process may use of the machine, and helper processes that do not outlive it."""

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def cores() -> int:
    """CPU cores that this process may use, by its affinity and by its container's quota."""
    from joblib import cpu_count

    return int(cpu_count())


def die_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however that went."""
    threading.Thread(target=_wait_and_exit, daemon=True).start()


def _wait_and_exit() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
