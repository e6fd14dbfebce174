"""What a search will do, settled before its first trial, and how it keeps to its time."""

from search.plan.plan import Plan
from search.plan.searchable import build_space
from search.plan.settle import settle

__all__ = ["Plan", "build_space", "settle"]
