"""Measurements, each by one command, with their results in `results/`."""
