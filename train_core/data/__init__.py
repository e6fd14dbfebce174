"""Data sets: where images come from, how they are cached, and how they are split.

Nothing here imports torch; the arrays become tensors in `train_core.images`.
"""
