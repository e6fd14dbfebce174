"""Weights that a training starts from: where they are found, and how they come to a network."""
