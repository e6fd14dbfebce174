"""What only those need who have a proxy."""

from importlib import import_module
from types import ModuleType


def proxy_client(url: str) -> ModuleType:
    """`studies.connection.remote`, for a storage behind a proxy.

    Raises:
        ValueError: gRPC is not installed.
    """
    try:
        return import_module("studies.connection.remote")
    except ImportError as error:
        raise ValueError(
            f"storage '{url}' needs gRPC ({error}): pip install convsearch[proxy]"
        ) from None
