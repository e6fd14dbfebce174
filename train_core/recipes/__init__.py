"""`RunConfig`: one training on one data set, as a file says it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from records.toml import read_toml, validate
from train_core.config import RecipeName, TrainConfig, training_for
from train_core.data.config import DataConfig


class RunConfig(BaseModel):
    """One training on one data set, fully resolved. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recipe: RecipeName | None = None
    """What `[training]` was laid over; its keys are already in `training`."""

    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainConfig = Field(default_factory=TrainConfig)


def load_run_config(path: str) -> RunConfig:
    """Read a training's file; raises what `resolve_run` raises, or that it cannot be read."""
    return resolve_run(read_toml(path), f"file '{path}'")


def resolve_run(tables: Mapping[str, Any], source: str, images: int | None = None) -> RunConfig:
    """Lay `[training]` over the recipe, if one is named.

    Arguments and errors are those of `training_for`; `tables` is what the file says.
    """
    checked = validate(RunConfig, tables, source)
    if checked.recipe is None:
        return checked
    training = training_for(checked.recipe, tables.get("training", {}), images, source)
    return checked.model_copy(update={"training": training})
