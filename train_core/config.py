"""`TrainConfig`, which alone decides a training; recipes, and files that describe a training.

Importing this module does not import torch.
"""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from records.toml import read_toml, validate
from train_core.data.config import DataConfig
from train_core.networks import check_network

Network = Annotated[str, AfterValidator(check_network)]
RecipeName = Literal["cpu", "fast", "accurate"]
Optimizer = Literal["sgd", "adamw", "muon"]
Schedule = Literal["one_cycle", "triangle", "cosine"]
Precision = Literal["auto", "bf16", "fp32"]
DeviceName = Literal["auto", "cuda", "mps", "cpu"]

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


class TrainConfig(BaseModel):
    """One training: recipe + one point of the space + seed. Frozen; unknown keys are refused."""

    # Strict, because TOML has types: `epochs = true` or `lr = "0.5"` is a mistake.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: Network = "convnet"
    """`convnet` (airbench-like: whitening, pool, norm) or `resnet` (torchvision's blocks)."""

    width: int = Field(default=64, ge=4, le=1024, multiple_of=4)
    """Channels of the first block; later blocks have 4 times as many (`resnet`: 2, 4, 8 times)."""

    depth: int = Field(default=2, ge=1, le=4)
    """Convolutions per block (`convnet`, residual from 3 on), blocks per stage (`resnet`)."""

    dropout: FiniteFloat = Field(default=0.0, ge=0, lt=1)
    """Share of the features before the last layer that is zeroed in training, in [0, 1)."""

    epochs: int = Field(default=16, ge=1, le=10_000)
    """Passes over the training images; the schedule ends with the last one."""

    batch_size: int = Field(default=1024, ge=2, le=65_536)
    """Images per step; of a single one, batch normalisation could learn nothing."""

    optimizer: Optimizer = "sgd"
    """`sgd` (Nesterov), `adamw`, or `muon` (convolution weights by Muon, the rest by SGD)."""

    lr: FiniteFloat = Field(default=1.5, gt=0)
    """Peak learning rate at batch size 1024 under a mean loss; scales linearly with the batch
    size, so that the two can be searched side by side."""

    momentum: FiniteFloat = Field(default=0.85, ge=0, lt=1)
    """Momentum of SGD and Muon, beta1 of AdamW, in [0, 1)."""

    weight_decay: FiniteFloat = Field(default=0.015, ge=0, lt=1)
    """Share of the weights of matrices and convolutions (with muon, of the last layer only) that
    is lost per 1024 examples at the peak of the schedule, in [0, 1); independent of the learning
    rate."""

    label_smoothing: FiniteFloat = Field(default=0.2, ge=0, lt=1)
    """Probability mass spread evenly over all classes in the training targets, in [0, 1)."""

    schedule: Schedule = "triangle"
    """Course of the learning rate: `triangle` (linear up, linear down), `one_cycle` (cosine up,
    cosine down) or `cosine` (linear up, cosine down)."""

    warmup: FiniteFloat = Field(default=0.23, ge=0, lt=1)
    """Share of the steps before the peak of the schedule, in [0, 1)."""

    final_lr: FiniteFloat = Field(default=0.0, ge=0, le=1)
    """Learning rate of the last step as a share of the peak, in [0, 1]."""

    augment: FiniteFloat = Field(default=0.5, ge=0, le=1)
    """Strength of all augmentations together, in [0, 1]; 0 = none."""

    ema: FiniteFloat = Field(default=0.0, ge=0, lt=1)
    """Span of the averaging of weights and batch statistics as a share of all steps, in [0, 1);
    0 = no averaging. A span, not a decay, so that it fits any number of steps."""

    patience: int = Field(default=0, ge=0)
    """Stop after this many epochs without a better validation accuracy; 0, or no validation part =
    never. It cuts the schedule short, which usually costs accuracy."""

    precision: Precision = "auto"
    """`bf16` autocast, `fp32`, or `auto`: bf16 where the processor really has it."""

    cuda_graph: bool = False
    """Capture the training step as one CUDA graph per shape and replay it; nothing on a CPU."""

    compile: bool = False
    """Compile forward and backward pass with `torch.compile`, once per shape: tens of seconds, and
    a compiler is needed, on a CPU for C++, on a GPU for C."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Seed of the initial weights, the order of the images, augmentation and dropout."""

    def describe(self) -> str:
        """One line for people: the network and what is usually searched."""
        return (
            f"{self.network} width {self.width} depth {self.depth}, batch {self.batch_size}, "
            f"{self.optimizer} lr {self.lr:.3g}, dropout {self.dropout:.2f}, "
            f"augment {self.augment:.2f}, {self.epochs} epochs"
        )


class RunConfig(BaseModel):
    """One training on one data set, fully resolved. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    recipe: RecipeName | None = None
    """What `[training]` was laid over; its keys are already in `training`."""

    data: DataConfig = Field(default_factory=DataConfig)
    training: TrainConfig = Field(default_factory=TrainConfig)


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
        images: How many images the training learns from; None = not known, the epochs stay.
        source: Where the keys come from, for messages.

    Raises:
        ValueError: In one sentence that names the source, the key, the rule and the value.
    """
    base = load_recipe(name)
    enough = 1 if images is None else math.ceil(least_images(name) / images)
    values = {**base.model_dump(), "epochs": max(base.epochs, enough)}
    return validate(TrainConfig, {**values, **given}, source)


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


def _tables(name: str) -> dict[str, Any]:
    path = resources.files("train_core") / "recipes" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
