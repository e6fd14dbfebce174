"""`python -m studies.run`: the studies of a storage, to look at, to copy, to export, to delete."""
