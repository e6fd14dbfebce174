"""The versions that results depend on."""

import platform
from importlib.metadata import PackageNotFoundError, version

_PACKAGES = ("convsearch", "torch", "optuna", "numpy")


def versions() -> dict[str, str]:
    """Package -> its version, and Python's."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # Run from its folder, without `pip install`.
        return "not installed"
