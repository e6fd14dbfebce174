"""Connections to databases that others run: what may break between two calls, and what then."""
