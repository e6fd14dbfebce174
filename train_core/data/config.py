"""`DataConfig`: which images, in which size, split how."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from records.pixels import Fit


class DataConfig(BaseModel):
    """The `[data]` section. Frozen; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    dataset: str = Field(default="cifar10", min_length=1)
    """Name of a data set, or path of a folder: `train/<class>/*`, perhaps `val` and `test`, or of
    a table (CSV) with the columns path, label, and perhaps part and group."""

    layout: Literal["parts", "classes"] | None = None
    """Whether folders called train, val or test are parts or classes; None = as it looks."""

    group: str | None = Field(default=None, min_length=1)
    """What keeps images in one part: a column of the table, or a regular expression whose first
    group, or else whole match in the path, names the group; None = only exact copies are kept."""

    content: str | None = None
    """What the pictures must be, as `prepare` tells it; other ones are refused. None = any."""

    root: str = Field(default="data", min_length=1)
    """Folder for downloads and for the cache of decoded images."""

    image_size: int | None = Field(default=None, ge=16, le=512)
    """Side in pixels at which networks see the images, at most; None = 32 for data sets with a
    name and for folders of small images (median shorter side at most 64), else 224."""

    fit: Fit = "crop"
    """How an image becomes a square: its centre (`crop`), with its proportions changed (`squash`),
    or whole, its own border's mean colour beside it (`pad`)."""

    train_size: int | None = Field(default=None, ge=1)
    """Use only this many images for training, the same share of every class; None = all."""

    validation_fraction: Annotated[float, Field(ge=0, le=0.9, allow_inf_nan=False)] = 0.1
    """Share of the training images set aside to validate, in [0, 0.9]; 0 = none."""

    folds: int | None = Field(default=None, ge=1, le=20)
    """Into how many folds the training images are parted, each held out in turn: a trial's score
    is the mean over them. 1 = one validation part instead. None = 5 for less than 1,000 pictures
    of a folder or table with recipe `pretrained`, else 1."""

    fold_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Seed of the folds; None = `split_seed`."""

    train_on_validation: bool = False
    """Whether the validation images are trained on too, with none left to score on; for the final
    training."""

    test_fraction: Annotated[float, Field(gt=0, le=0.9, allow_inf_nan=False)] = 0.2
    """Share of the images set aside to test where a data set has no test part, in (0, 0.9]."""

    split_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Seed of the split into training and validation; None = the study's seed."""

    mirror: bool | None = None
    """Whether a mirrored image still shows its class; None = what the data set says, else yes."""

    skip_bad_images: bool = False
    """Leave out unreadable images, and say which, instead of refusing the folder."""


def cache_folder(config: DataConfig) -> Path:
    """Where decoded images are kept."""
    return Path(config.root) / "cache"
