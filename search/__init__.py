"""The session: from a configuration to a study, a confirmed winner and an exported model.

From Python: `search.run_search(search.SearchConfig(...)) -> search.SearchResult`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.config import SearchConfig
    from search.display.summary import SearchResult
    from search.session import run_search

__all__ = ["SearchConfig", "SearchResult", "run_search"]

_HOMES = {
    "SearchConfig": "search.config",
    "SearchResult": "search.display.summary",
    "run_search": "search.session",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and not before: a mistyped flag need not wait for Optuna."""
    if name not in _HOMES:
        raise AttributeError(f"module 'search' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
