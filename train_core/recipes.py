"""Recipes: named, fixed parts of a training, as TOML files in this folder."""

import tomllib
from importlib import resources
from typing import Any, Literal, get_args

from train_core.config import TrainConfig

RecipeName = Literal["cpu", "fast", "accurate"]


def load_recipe(name: RecipeName) -> TrainConfig:
    """A recipe as a whole training config, with seed 0."""
    return TrainConfig.model_validate(_tables(name)["training"])


def least_images(name: RecipeName) -> int:
    """How many images, counted with repetition, a training of this recipe should see at least."""
    return int(_tables(name)["least_images"])


def recipe_names() -> tuple[str, ...]:
    """All recipes."""
    return get_args(RecipeName)


def _tables(name: str) -> dict[str, Any]:
    path = resources.files("train_core") / "recipes" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
