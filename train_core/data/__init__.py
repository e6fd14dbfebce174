"""Data sets: where images come from, how they are cached, and how they are split.

A layout of files is one module that makes a `Source`, as `folder` does. Nothing here imports
torch; the arrays become tensors in `train_core.images`.
"""
