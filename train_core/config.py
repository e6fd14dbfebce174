"""`TrainConfig`, which alone decides a training; recipes, and files that describe a training.

Importing this module does not import torch.
"""

import math
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from records.toml import validate
from train_core.networks import OF_TIMM, OWN_KEYS, TIMM, check_network, is_foreign
from train_core.networks.weights.files import NONE, check_weights

Network = Annotated[str, AfterValidator(check_network)]
RecipeName = Literal["cpu", "fast", "accurate", "pretrained"]
Method = Literal["full", "probe", "fine_tune"]
ClassWeights = Literal["none", "sqrt", "balanced"]
Optimizer = Literal["sgd", "adamw", "muon"]
Schedule = Literal["one_cycle", "triangle", "cosine"]
Curriculum = Literal["none", "progressive"]
Precision = Literal["auto", "bf16", "fp32"]
DeviceName = Literal["auto", "cuda", "mps", "cpu"]
ImagePlace = Literal["auto", "device", "host", "cache"]
"""Where images are while networks train: on the device, in the host's memory, in the cache."""

FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]


MOST_LEVELS = 16


class TrainConfig(BaseModel):
    """One training: recipe + one point of the space + seed. Frozen; unknown keys are refused."""

    # Strict, because TOML has types: `epochs = true` or `lr = "0.5"` is a mistake.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    network: Network = "convnet"
    """`convnet` (airbench-like: whitening, pool, norm), `resnet` (torchvision's blocks),
    `timm/NAME` (a model of timm), or `package.module:build` (one's own)."""

    width: int | None = Field(default=64, ge=4, le=1024, multiple_of=4)
    """Channels of the first block; later blocks have 4 times as many (`resnet`: 2, 4, 8 times).
    None for networks that have no width, and for no others; `depth` likewise."""

    depth: int | None = Field(default=2, ge=1, le=4)
    """Convolutions per block (`convnet`, residual from 3 on), blocks per stage (`resnet`)."""

    method: Method = "full"
    """What is trained: `full` (everything, from the first step on), `probe` (only the last layer,
    a logistic regression on the features of the weights that the training starts from), or
    `fine_tune` (everything but frozen stages, after a probe; Kumar et al., 2022)."""

    weights: str = Field(default=NONE, min_length=1)
    """What the training starts from: `none` (drawn at random), `pretrained` (timm's hub or its
    cache), `embedded` (those of `timm/tf_efficientnet_lite0`), or the path of a file."""

    weights_sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")
    """Hash of the content that the file of the weights must have; None = any."""

    resolution: int | None = Field(default=None, ge=16, le=512)
    """Side in pixels at which the network sees the images; None = [data] image_size, the most."""

    curriculum: Curriculum = "none"
    """At which size epochs see the images: all in full (`none`), or the first at three quarters of
    the side, above 64 pixels at four sevenths, growing to the full one (`progressive`)."""

    l2: FiniteFloat = Field(default=1e-3, gt=0, le=1e3)
    """Penalty on the squared weights of a probe's last layer, on standardised features and a mean
    loss: 1 / (C N) in scikit-learn's terms."""

    views: int = Field(default=0, ge=0, le=32)
    """Augmented views of every image that a probe learns from beside the image itself."""

    levels: int = Field(default=0, ge=0, le=MOST_LEVELS)
    """Last stages of a timm network whose maps' means are features beside the embedding, as far as
    it offers them: useful where pictures are unlike those of the weights (Evci et al., 2022)."""

    frozen_stages: int = Field(default=0, ge=0, le=32)
    """Stages of the backbone, from the pixels on, that a fine-tuning leaves as they are."""

    backbone_lr: FiniteFloat = Field(default=0.1, ge=0, le=1)
    """Learning rate of the last stage of the backbone as a share of the last layer's."""

    layer_decay: FiniteFloat = Field(default=1.0, gt=0, le=1)
    """Learning rate of each stage of the backbone as a share of the next one's."""

    dropout: FiniteFloat = Field(default=0.0, ge=0, lt=1)
    """Share of the features before the last layer that is zeroed in training, in [0, 1)."""

    drop_path: FiniteFloat = Field(default=0.0, ge=0, lt=1)
    """Share of the images for which the deepest residual branch is skipped in training, in [0, 1),
    less for those before it: timm's `drop_path_rate`."""

    epochs: int = Field(default=16, ge=1, le=10_000)
    """Passes over the training images; the schedule ends with the last one. A probe has one."""

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

    mixup: FiniteFloat = Field(default=0.0, ge=0, le=1)
    """How far images are mixed with others, in [0, 1]; 1 = by a uniform share, 0 = not."""

    cutmix: FiniteFloat = Field(default=0.0, ge=0, le=1)
    """Share of the images in which a rectangle is another image's, in [0, 1]; 0 = none."""

    erasing: FiniteFloat = Field(default=0.0, ge=0, le=1)
    """Share of the images in which a rectangle has a random colour, in [0, 1]; 0 = none."""

    class_weights: ClassWeights = "none"
    """What a class weighs in the loss: as many images as it has (`none`), all classes alike
    (`balanced`), or the geometric mean of the two (`sqrt`)."""

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

    @model_validator(mode="before")
    @classmethod
    def _has_what_its_network_has(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        if values.get("method") == "probe":
            # It is solved at once, whatever the recipe says that other methods read.
            values = {**values, "epochs": 1}
        given = {key: values[key] for key in OWN_KEYS if values.get(key) is not None}
        rest = {key: value for key, value in values.items() if key not in OWN_KEYS}
        network = values.get("network")
        if not isinstance(network, str) or not is_foreign(network):
            return {**rest, **given}
        for key, value in given.items():
            raise ValueError(f"{key} must be left out, since {network} has none, but got {value}")
        return {**rest, **dict.fromkeys(OWN_KEYS)}

    @model_validator(mode="after")
    def _network_can_start_so(self) -> Self:
        for key in OF_TIMM:
            if (value := getattr(self, key)) and not self.network.startswith(TIMM):
                raise ValueError(
                    f"{key} must be left out, since only networks of timm have it, but got "
                    f"{value} for {self.network}"
                )
        if self.weights == NONE and self.weights_sha256 is not None:
            raise ValueError(
                'weights_sha256 must be left out without weights, but weights = "none"'
            )
        check_weights(self.network, self.weights)
        if self.weights == NONE and self.method != "full":
            raise ValueError(
                f'weights must be "pretrained", "embedded" or a file where method = '
                f'"{self.method}", but got "none": name some, or leave method out'
            )
        if self.weights != NONE and self.optimizer == "muon":
            raise ValueError(
                'optimizer must be "sgd" or "adamw" where a training starts from weights, since '
                '"muon" gives every convolution another norm'
            )
        return self

    def describe(self) -> str:
        """One line for people: the network and what is usually searched."""
        begun = "" if self.weights == NONE else f" with {self.weights} weights"
        sizes = "" if self.width is None else f" width {self.width} depth {self.depth}"
        seen = "" if self.resolution is None else f" at {self.resolution} pixels"
        what = f"{self.network}{sizes}{begun}{seen}"
        if self.method == "probe":
            what += f", last layer only, l2 {self.l2:.3g}, {self.views} augmented views"
            return f"{what}, {self.levels} levels" if self.levels else what
        growing = "" if self.curriculum == "none" else " of growing images"
        if self.method == "fine_tune":
            what += (
                f", fine-tuned but for {self.frozen_stages} stages at {self.backbone_lr:.3g} of "
                f"the learning rate, decay {self.layer_decay:.2g} per stage"
            )
        return (
            f"{what}, batch {self.batch_size}, "
            f"{self.optimizer} lr {self.lr:.3g}, dropout {self.dropout:.2f}, "
            f"augment {self.augment:.2f}, {self.epochs} epochs{growing}"
        )


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
    return validate(TrainConfig, laid_over(values, given), source)


def refuse_larger(resolution: int | None, most: int) -> None:
    """Refuse a resolution above the size that images are prepared for."""
    if resolution is not None and resolution > most:
        raise ValueError(
            f"resolution must be at most image_size under [data], which is {most} here, but got "
            f"{resolution}: raise image_size, or lower resolution"
        )


def laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys over others; what the network then has none of is left out of those below."""
    network = given.get("network", base["network"])
    absent = OWN_KEYS if isinstance(network, str) and is_foreign(network) else ()
    return {**{key: value for key, value in base.items() if key not in absent}, **given}


def _tables(name: str) -> dict[str, Any]:
    path = resources.files("train_core") / "recipes" / f"{name}.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))
