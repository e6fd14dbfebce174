"""Batched augmentation on the device: every image its own flip, place, size, light, cut.

Small images are shifted, turned and zoomed. Of large ones, which are kept with a margin around
what is seen, a rectangle of random size and proportions is shown (random resized crop; Szegedy et
al., 2015). Light is the same for all channels, so that grey stays grey.

One strength in [0, 1] scales all of it; 0 leaves every image as it is scored. The strength is a
0-d tensor, nothing here waits for the device, and all shapes are fixed by the batch size, so a
captured step serves every strength.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from train_core.images import Normalisation
from train_core.images.view import View, sampling

# Strength from which on every image alternates; below, a proportional share of them does.
FLIP_FULL_AT = 0.25

# The largest changes at strength 1:
SHIFT = 0.15  # As a share of the side: 5 of 32 pixels, whole pixels only.
TURN = 15.0  # Degrees, either way.
ZOOM = 0.15  # In or out.
WARPED = 0.5  # Share of the images that are turned and zoomed; that blurs, so others stay sharp.
LIGHT = 0.25  # Of brightness (in deviations) and of contrast (relative).
CUT = 0.4  # Side of the square that is cut out, as a share of the image's side.
SHRUNK = 0.65  # How much smaller than what is scored the side of a crop can be, as a share of it.
STRETCHED = 4 / 3  # Width to height of a crop, or the other way round.
PLACED_FULL_AT = 0.25  # Strength from which on a crop may lie anywhere.


def draw(count: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Random numbers in [0, 1) for `count` images, `(count, 9)`.

    Columns: shift x and y, whether to turn and zoom, angle, zoom, contrast, brightness, cut y, x.
    Where crops are shown: place x and y, nothing, proportions, size, and the rest as it is.
    """
    return torch.rand(count, 9, device=device, generator=generator)


def flips(phase: Tensor, epoch: Tensor, strength: Tensor) -> Tensor:
    """Which images are mirrored in this epoch, `(B,)` bool.

    Every image that takes part starts at random in one of the two orientations and changes it
    each epoch, so that two epochs show both (alternating flip, Jordan 2024).

    Args:
        phase: `(B,)`, uniform in [0, 1), one fixed number per training image.
        epoch: 0-d, counts epochs.
        strength: 0-d, in [0, 1].
    """
    share = (strength / FLIP_FULL_AT).clamp(max=1)
    # Two independent numbers from one: the high half decides the start, the rest the share.
    start, rest = (phase >= 0.5).to(torch.int64), (phase * 2) % 1
    return ((start + epoch) % 2 == 1) & (rest < share)


def augment(
    images: Tensor, flipped: Tensor, draws: Tensor, strength: Tensor, normalisation: Normalisation
) -> Tensor:
    """Augment and normalise images, `(B, 3, r, r)` float32 for the resolution r of the view.

    Args:
        images: `(B, H, W, 3)` uint8.
        flipped: `(B,)` bool, which ones are mirrored.
        draws: What `draw` gives for as many images.
        strength: 0-d, in [0, 1]; 0 gives the same as `normalisation(images)`.
        normalisation: A cut goes to its mean colour.
    """
    view = normalisation.view
    if view is not None and view.crop < view.stored:
        moved = _crops(images, flipped, draws, strength, view)
    else:
        moved = _moved(images, flipped, draws, strength)
        moved = moved if view is None else view.resized(moved).contiguous()
    gain, offset = normalisation.affine()
    contrast = 1 + LIGHT * strength * (draws[:, 5:6] * 2 - 1)
    brightness = LIGHT * strength * (draws[:, 6:7] * 2 - 1)
    # Normalisation, contrast and brightness are one line per image and channel.
    slope, shift = contrast * gain, contrast * offset + brightness
    lit = moved.mul_(slope[:, :, None, None]).add_(shift[:, :, None, None])
    return lit.masked_fill_(_cut(draws, strength, lit.shape[-1]), 0.0)


def _moved(images: Tensor, flipped: Tensor, draws: Tensor, strength: Tensor) -> Tensor:
    """`(B, 3, H, W)` float32: shifted, turned, zoomed and mirrored, levels as they were."""
    pixels = images.permute(0, 3, 1, 2).float().contiguous()
    grid = _sampling_grid(flipped, draws, strength, images.shape[1])
    return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def _crops(images: Tensor, flipped: Tensor, draws: Tensor, strength: Tensor, view: View) -> Tensor:
    """`(B, 3, r, r)` float32: a rectangle of each, resampled as `normalisation` does it."""
    count, stored, side = len(images), view.stored, view.side
    scored, signed = view.crop / stored, draws * 2 - 1
    # Sides as shares of the image's; their squares are even, so that areas are.
    least = scored * (1 - SHRUNK * strength)
    most = scored + (1 - scored) * strength
    size = (least.square() + draws[:, 4] * (most.square() - least.square())).sqrt()
    stretch = torch.exp(signed[:, 3] * (math.log(STRETCHED) / 2) * strength)
    sides = torch.stack([size * stretch, size / stretch], 1).clamp(max=1) * stored
    reach = (stored - sides) / 2 * (strength / PLACED_FULL_AT).clamp(max=1)
    middles, steps = stored / 2 + signed[:, :2] * reach, sides / side
    mirror = 1 - 2 * flipped.to(steps.dtype)
    along_x = sampling(middles[:, 0], steps[:, 0] * mirror, side, stored)
    along_y = sampling(middles[:, 1], steps[:, 1], side, stored)
    rows = along_y @ images.float().reshape(count, stored, stored * 3)
    lines = rows.reshape(count, side, stored, 3).permute(0, 3, 1, 2)
    shown = lines.reshape(count, 3 * side, stored) @ along_x.transpose(1, 2)
    return shown.reshape(count, 3, side, side)


def _sampling_grid(flipped: Tensor, draws: Tensor, strength: Tensor, side: int) -> Tensor:
    """`(B, H, W, 2)`: where each pixel of the result is taken from, x before y, in [-1, 1]."""
    # Half a pixel more before rounding gives the largest shift the same chance as the others.
    reach = SHIFT * strength * side + 0.5 * (strength > 0)
    signed = draws * 2 - 1
    shift = torch.round(signed[:, :2] * reach) * (2 / side)
    warped = draws[:, 2] < WARPED * strength
    angle = signed[:, 3] * (math.radians(TURN) * strength) * warped
    zoom = 1 + signed[:, 4] * (ZOOM * strength) * warped
    cos, sin = zoom * angle.cos(), zoom * angle.sin()
    mirror = 1 - 2 * flipped.to(cos.dtype)
    along_x = torch.stack([mirror * cos, sin], 1)
    along_y = torch.stack([-mirror * sin, cos], 1)
    centres = (torch.arange(side, device=shift.device) * 2 + 1) / side - 1
    rows = shift[:, :, None] + along_y[:, :, None] * centres
    columns = along_x[:, :, None] * centres
    return (rows[:, :, :, None] + columns[:, :, None, :]).permute(0, 2, 3, 1)


def _cut(draws: Tensor, strength: Tensor, side: int) -> Tensor:
    """`(B, 1, H, W)` bool: a square at a random place, wholly inside the image."""
    size = torch.round(CUT * strength * side)
    corner = torch.floor(draws[:, 7:9] * (side - size + 1))
    places = torch.arange(side, device=corner.device)
    inside = (places >= corner[:, :, None]) & (places < corner[:, :, None] + size)
    return inside[:, 0, None, :, None] & inside[:, 1, None, None, :]
