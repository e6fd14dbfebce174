"""The searches of `tests/search`, for those who break them."""

from tests.search.conftest import search

__all__ = ["search"]
