"""The searches of `tests/search`, for those who break them."""

from tests.search.conftest import finish_here, search, worker

__all__ = ["finish_here", "search", "worker"]
