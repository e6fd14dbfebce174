"""Draws docs/augmentation.png: what each strength of augmentation does to a picture.

python docs/draw_augmentation.py
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.datasets import load_sample_image

from records.pixels import fit_square
from train_core.engine.augment import augment, draw, flips
from train_core.images import Normalisation

SIDE, GAP, LABEL = 80, 6, 56
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 8


def main() -> None:
    """One row per strength, one column per draw, in the colours of the original."""
    picture = fit_square(Image.fromarray(load_sample_image("china.jpg")), SIDE)
    images = torch.from_numpy(np.stack([picture] * COLUMNS))
    norm = Normalisation(torch.full((3,), 0.5), torch.full((3,), 0.25))
    width = LABEL + COLUMNS * (SIDE + GAP)
    sheet = Image.new("RGB", (width, len(STRENGTHS) * (SIDE + GAP)), "white")
    for row, strength in enumerate(STRENGTHS):
        random = torch.Generator().manual_seed(1)
        s, phase = torch.tensor(strength), torch.rand(COLUMNS, generator=random)
        flipped = flips(phase, torch.tensor(0), s)
        draws = draw(COLUMNS, images.device, random)
        shown = augment(images, flipped, draws, s, norm).permute(0, 2, 3, 1)
        pixels = ((shown * norm.std + norm.mean) * 255).clamp(0, 255).byte().numpy()
        top = row * (SIDE + GAP)
        ImageDraw.Draw(sheet).text(
            (4, top + SIDE // 2 - 8), f"{strength:g}", "black", font_size=18
        )
        for column in range(COLUMNS):
            place = (LABEL + column * (SIDE + GAP), top)
            sheet.paste(Image.fromarray(pixels[column]), place)
    small = sheet.quantize(128, dither=Image.Dither.NONE)
    small.save(Path(__file__).with_name("augmentation.png"), optimize=True)


if __name__ == "__main__":
    main()
