"""`SearchConfig`: everything a search can be told, from flags and TOML."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

from records.toml import read_toml, validate
from space import load_space
from studies.config import StudyConfig
from train_core.config import DeviceName, ImagePlace, RecipeName, TrainConfig
from train_core.data.config import DataConfig


def _seconds(value: object) -> object:
    """A text such as `90s`, `20m`, `2h` as a number of seconds; anything else as it is."""
    if not isinstance(value, str):
        return value
    if (found := re.fullmatch(r"(\d+(?:\.\d+)?) *([smh]?)", value.strip())) is None:
        raise ValueError("a time must be a number with s, m or h after it, such as 90s, 20m or 2h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


Seconds = Annotated[float, BeforeValidator(_seconds), Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """A frozen table of the config; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SpaceConfig(Section):
    """The `[space]` section."""

    name: str | None = Field(default=None, min_length=1)
    """`default`, `extended`, `pretrained`, or the path of a TOML file with a table per parameter;
    None = `pretrained` for that recipe, else `default`."""

    fixed: list[str] = Field(default_factory=list)
    """Keys of the space that are not searched but stay as `[training]` or the recipe has them."""

    ranges: dict[str, Annotated[list[FiniteFloat], Field(min_length=2, max_length=2)]] = Field(
        default_factory=dict
    )
    """Parameter -> its lowest and its highest value, in the place of the space's own."""

    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters that take the place of the space's for the same keys, or are added to it."""


class ConfirmConfig(Section):
    """The `[confirm]` section."""

    top: int = Field(default=3, ge=1, le=100)
    """How many of the best trials are trained again."""

    seeds: int = Field(default=3, ge=1, le=100)
    """How many fresh seeds each of them is trained with; the winner with as many again."""

    pick: Literal["winner", "knee"] = "winner"
    """What is exported: the winner of the confirmations, or with several objectives the knee of
    the front."""

    @property
    def further(self) -> int:
        """Trainings of the winner with seeds that had no part in choosing it."""
        return self.seeds if self.top > 1 else 0


class WorkersConfig(Section):
    """The `[workers]` section."""

    count: int | None = Field(default=None, ge=1, le=1024)
    """Processes that run trials; None = one per GPU, or one on a CPU."""

    threads: int | None = Field(default=None, ge=1, le=1024)
    """CPU threads per worker; None = the cores shared out evenly."""

    device: DeviceName = "auto"
    """What trains: `cuda`, `mps` (an Apple GPU, not tried), `cpu`; `auto` = the first there."""

    images: ImagePlace = "auto"
    """Where images are while networks train: `device`, `host` (memory; the same on a CPU), `cache`
    (its file, read ahead); `auto` = the first that has twice the room for them."""

    checkpoint_every: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 30.0
    """Seconds between two checkpoints of a training, at least; written between two epochs."""


class LoggingConfig(Section):
    """The `[logging]` section."""

    tensorboard: bool = False
    """Whether trials and the final training also write event files for TensorBoard."""


class SearchConfig(Section):
    """A whole search. Flags of `search.run` set the same keys and win over the file."""

    trials: int | None = Field(default=None, ge=1, le=1_000_000)
    """Trials that the study ends with, complete and pruned ones together, over all restarts; None
    = as many as the budget allows, or 100 where there is none."""

    budget: Seconds | None = None
    """Seconds, or a text such as `90s`, `20m`, `2h`, in which everything ends, from the data to
    the report, as far as single trainings allow. A restart has as much again. None = no limit, but
    10 minutes for recipe `pretrained` without `trials`."""

    recipe: RecipeName | None = None
    """The fixed part of every training; None = `pretrained` for pictures that are used at more
    than 64 pixels, else `cpu` on a CPU, `fast` on a GPU."""

    probes: int | None = Field(default=None, ge=0)
    """With recipe `pretrained`, how many trials are probes, before the first fine-tuning; None =
    30, or half of the trials, where that is less."""

    repeats: int = Field(default=0, ge=0)
    """How many of the trials, the last ones, train the best points before them again with other
    seeds, which measures what a seed changes."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Seconds after which no new trial starts; running ones end, then the rest follows."""

    runs: str = Field(default="runs", min_length=1)
    """Folder in which every study has its own."""

    report: bool = True
    """Whether the search ends with a page about itself, in `report/` of its folder."""

    dashboard: bool = False
    """Whether to serve optuna-dashboard on 127.0.0.1 while the search lasts."""

    data: DataConfig = Field(default_factory=DataConfig)
    training: dict[str, Any] = Field(default_factory=dict)
    """Keys of `TrainConfig` that replace the recipe's; searched ones are where it starts."""

    space: SpaceConfig = Field(default_factory=SpaceConfig)
    study: StudyConfig = Field(default_factory=StudyConfig)
    confirm: ConfirmConfig = Field(default_factory=ConfirmConfig)
    workers: WorkersConfig = Field(default_factory=WorkersConfig)
    logging: LoggingConfig = Field(default_factory=LoggingConfig)

    @model_validator(mode="after")
    def _has_a_knee(self) -> Self:
        if self.confirm.pick == "knee" and not self.study.costs:
            raise ValueError(
                'pick = "knee" under [confirm] needs several objectives, but there is one: '
                "name more under [study] objectives, or leave it out"
            )
        return self

    @model_validator(mode="after")
    def _can_be_repeated(self) -> Self:
        if self.repeats and (self.trials is None or self.repeats >= self.trials):
            raise ValueError(
                f"repeats must be less than trials, which are {self.trials}, but got "
                f"{self.repeats}: set trials, or leave repeats out"
            )
        return self

    @model_validator(mode="after")
    def _can_be_scored(self) -> Self:
        if self.data.validation_fraction == 0:
            raise ValueError(
                "a search scores on the validation part, so validation_fraction must be above 0, "
                "but got 0: leave it out of [data] for the usual 0.1"
            )
        if self.data.train_on_validation:
            raise ValueError(
                "a search trains on the validation part at the very end only, so "
                "train_on_validation must be false, but got true"
            )
        return self


def read_ranges(texts: Sequence[str]) -> dict[str, list[float]]:
    """Ranges as flags have them, NAME=LOW:HIGH each.

    Raises:
        ValueError: In one sentence, if one is something else.
    """
    found: dict[str, list[float]] = {}
    for text in texts:
        name, _, ends = text.partition("=")
        try:
            low, high = map(float, ends.split(":"))
        except ValueError:
            raise ValueError(
                f"a range must be NAME=LOW:HIGH, such as lr=0.05:2, but got '{text}'"
            ) from None
        found[name] = [low, high]
    return found


def load_search_config(path: str | None, flags: Mapping[str, Any]) -> SearchConfig:
    """Read the file, if one is given, and lay the flags over it.

    Args:
        path: A TOML file with the sections and keys of `SearchConfig`.
        flags: Key, or section and key with a dot between -> value; None = was not given.

    Raises:
        ValueError: In one sentence that names the source, the key, the rule and the value.
    """
    tables = read_toml(path) if path else {}
    for key, value in flags.items():
        section, _, name = key.rpartition(".")
        if value is None:
            continue
        table = tables.setdefault(section, {}) if section else tables
        if isinstance(table, dict):  # Otherwise validation will say that it must be a table.
            # Tables of a flag are laid over those of the file key by key.
            table[name] = {**table.get(name, {}), **value} if isinstance(value, dict) else value
    source = f"file '{path}' and flags" if path else "flags"
    config = validate(SearchConfig, tables, source)
    if "seed" in config.training:
        raise ValueError(
            f"every trial has its own seed, made from the study's: set seed under [study] or with "
            f"--seed, not under [training] ({source})"
        )
    # Before anything is downloaded; what it says about the training is checked with the plan.
    if config.space.name is not None:
        load_space(config.space.name)
    # With defaults for the other keys; the plan lays them over the recipe and asks again.
    validate(TrainConfig, config.training, f"{source}, [training]")
    return config
