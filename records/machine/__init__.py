"""This process and its machine: cores, versions, and an end when the parent is gone."""

import os
import platform
import threading
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import parent_process
from multiprocessing.connection import wait

_PACKAGES = ("convsearch", "torch", "optuna", "numpy")


def cores() -> int:
    """CPU cores that this process may use, by its affinity and by its container's quota."""
    from joblib import cpu_count

    return int(cpu_count())


def versions() -> dict[str, str]:
    """What results depend on: package -> its version, and Python's."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def die_with_parent() -> None:
    """End this process as soon as the one that started it is gone, however that went."""
    parent = parent_process()
    assert parent is not None

    def wait_and_exit() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait_and_exit, daemon=True).start()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Run from its folder, without `pip install`.
        return "not installed"
