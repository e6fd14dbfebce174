"""The numbers of a report: pure functions from plain values to plain values."""
