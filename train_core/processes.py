"""What helper processes have in common."""

import os
import threading
from multiprocessing import parent_process
from multiprocessing.connection import wait


def die_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however that went."""
    threading.Thread(target=_wait_and_exit, daemon=True).start()


def _wait_and_exit() -> None:
    parent = parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
