"""A trained network, written and read again."""

from pathlib import Path

import torch
from torch import Tensor

from train_core.engine import Engine
from train_core.model import TrainedModel, load_model, probabilities, save_model, trained_model


def saved_and_loaded(engine: Engine, folder: Path, images: Tensor) -> tuple[TrainedModel, Tensor]:
    """The model that is read back, and what it and the trained one say of images: the same."""
    model = trained_model(engine)
    save_model(folder / "model.safetensors", model)
    loaded = load_model(folder / "model.safetensors")
    said = probabilities(model.network, images, model.normalisation)
    again = probabilities(loaded.network, images, loaded.normalisation)
    torch.testing.assert_close(again, said, atol=1e-6, rtol=0)
    return loaded, said
