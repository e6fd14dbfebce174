"""Calibrating a search: what random trainings to their end say about the settings of a study."""
