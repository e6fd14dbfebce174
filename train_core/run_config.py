"""A file that describes one training: `[data]` and `[training]`, perhaps on top of a recipe."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from records.toml import read_toml, validate
from train_core.config import TrainConfig
from train_core.data.config import DataConfig
from train_core.recipes import RecipeName, training_for


class RunConfig(BaseModel):
    """One training on one data set, fully resolved. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recipe: RecipeName | None = None
    """What `[training]` was laid over; its keys are already in `training`."""

    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainConfig = Field(default_factory=TrainConfig)


def load_run_config(path: str) -> RunConfig:
    """Read a training's file.

    Raises:
        ValueError: In one sentence that names the file, the key, the rule and the value.
    """
    return resolve_run(read_toml(path), f"file '{path}'")


def resolve_run(tables: Mapping[str, Any], source: str, images: int | None = None) -> RunConfig:
    """Lay `[training]` over the recipe, if one is named.

    Args:
        tables: What the file says.
        source: Where it comes from, for messages.
        images: How many images the training learns from: few get more epochs than the recipe has,
            unless `[training]` says how many. None = not known yet.

    Raises:
        ValueError: In one sentence that names the source, the key, the rule and the value.
    """
    checked = validate(RunConfig, tables, source)
    if checked.recipe is None:
        return checked
    training = training_for(checked.recipe, tables.get("training", {}), images, source)
    return checked.model_copy(update={"training": training})
