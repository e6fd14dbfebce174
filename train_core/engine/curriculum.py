"""The size at which each epoch of a training sees the images, where they grow (`curriculum`).

Progressive resizing (Howard, 2018; Tan and Le, 2021): early epochs learn what small images show as
well, and cost fewer operations. The last third is at full size, since what is scored is, and
averaged weights and batch statistics must be of what is scored (Touvron et al., 2019).
"""

from records.pixels import SMALL
from train_core.config import Curriculum


def sides_of(curriculum: Curriculum, side: int, epochs: int) -> list[int]:
    """Side in pixels of the images in every epoch, `(epochs,)`, the last one always in full.

    Args:
        curriculum: `none`, or `progressive`: a third of the epochs each at the three sizes, of
            which the larger ones get what does not divide.
        side: The full one.
        epochs: How many there are.
    """
    if curriculum == "none":
        return [side] * epochs
    small, middle = smaller_than(side)
    left = range(epochs, 0, -1)
    return [side if 3 * n < epochs + 3 else middle if 3 * n < 2 * epochs + 3 else small
            for n in left]  # fmt: skip


def smaller_than(side: int) -> tuple[int, int]:
    """24 and 28 of 32 pixels, 128 and 192 of 224: in steps that most networks halve evenly."""
    least, step = (3 / 4, 4) if side <= SMALL else (4 / 7, 32)
    shares = least, (least + 1) / 2
    small, middle = (min(side, max(step, step * round(share * side / step))) for share in shares)
    return small, middle
