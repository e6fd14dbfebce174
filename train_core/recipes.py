"""Recipes: named, fixed parts of a training, as TOML files in this folder."""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any, Literal, get_args

from records.toml import validate
from train_core.config import TrainConfig

RecipeName = Literal["cpu", "fast", "accurate"]


def load_recipe(name: RecipeName) -> TrainConfig:
    """A recipe as a whole training config, with seed 0."""
    return TrainConfig.model_validate(_tables(name)["training"])


def least_images(name: RecipeName) -> int:
    """How many images, counted with repetition, a training of this recipe should see at least."""
    return int(_tables(name)["least_images"])


def training_for(
    name: RecipeName, given: Mapping[str, Any], images: int | None, source: str = "[training]"
) -> TrainConfig:
    """A recipe with some keys of one's own; few images get more epochs unless told how many.

    Args:
        name: The recipe.
        given: Keys of `TrainConfig` that replace the recipe's.
        images: How many images the training learns from; None = not known yet, so that the epochs
            stay as they are.
        source: Where the keys come from, for messages.

    Raises:
        ValueError: In one sentence that names the source, the key, the rule and the value.
    """
    base = load_recipe(name)
    enough = 1 if images is None else math.ceil(least_images(name) / images)
    values = {**base.model_dump(), "epochs": max(base.epochs, enough)}
    return validate(TrainConfig, {**values, **given}, source)


def recipe_names() -> tuple[str, ...]:
    """All recipes."""
    return get_args(RecipeName)


def _tables(name: str) -> dict[str, Any]:
    path = resources.files("train_core") / "recipes" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
