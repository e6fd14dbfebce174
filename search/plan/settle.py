"""`settle`: from what was asked for, and the data, to a `Plan`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from records.files import absolute
from records.pixels import SMALL
from search.config import SearchConfig
from search.plan.costs import refuse_constant
from search.plan.plan import Plan
from search.plan.searchable import build_space
from space import NAMED_SPACES, Space
from train_core.config import RecipeName, TrainConfig, refuse_larger, training_for
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, at_absolute_paths, load_labels
from train_core.data.split import Rows, digest_of, usual_folds
from train_core.data.stored import read_ties
from train_core.networks.weights.files import at_absolute_path as at_absolute

PROBES = 30
"""Probes before the first fine-tuning, at most: they search two parameters, smooth ones."""
_ALL = 1_000_000  # More trials than a search can have.
USUAL_BUDGET = 600.0
"""Seconds of a search with recipe `pretrained` that was given neither trials nor a budget."""
ON_CPU = 128
"""Side in pixels at which a network is fine-tuned on a CPU, at most: a third of the arithmetic of
224, at some price in accuracy (docs/decisions.md)."""


def settle(config: SearchConfig, data: PreparedData, default_recipe: RecipeName) -> Plan:
    """Settle everything that the config left open.

    Args:
        config: What was asked for.
        data: The data as they are in the cache.
        default_recipe: What fits the device, for small pictures.

    Raises:
        ValueError: In one sentence, if the space does not fit the training or the images.
    """
    asked, timed = config.recipe, config.budget is not None
    recipe = asked or recipe_for(config, data, default_recipe)
    seed = config.study.seed if config.data.split_seed is None else config.data.split_seed
    known = {"split_seed": seed, "image_size": data.crop_size}
    data_config = at_absolute_paths(config.data).model_copy(update=known)
    data_config, folds = _in_folds(data_config, data, recipe, config.training)
    most = ON_CPU if default_recipe == "cpu" else data.crop_size
    training = _training(config, recipe, len(folds[0].train), min(most, data.crop_size))
    refuse_larger(training.resolution, data.crop_size)
    study = config.study.model_copy(update={"name": study_name(config, data, recipe)})
    config = _with_space(_with_length(config.model_copy(update={"recipe": recipe})))
    space = _space(config, training)
    refuse_constant(study.costs, space)
    settled = {
        "data": data_config,
        "training": training.model_dump(exclude={"seed"}),
        "study": study,
        "probes": _probes(config, training, space),
    }
    reason = None
    if recipe == "pretrained" and asked is None:
        reason = f"chosen as the pictures are larger than {SMALL} pixels; --recipe names another"
    return Plan(
        reason=reason,
        usual_budget=config.budget is not None and not timed,
        config=config.model_copy(update=settled),
        training=training,
        space=space,
        data=data,
        train_count=len(folds[0].train),
        validation_count=sum(len(rows.validation) for rows in folds),
        final_count=len(folds[0].train) + len(folds[0].validation),
        split=digest_of(folds),
    )


def _in_folds(
    config: DataConfig, data: PreparedData, recipe: RecipeName, training: Mapping[str, Any]
) -> tuple[DataConfig, tuple[Rows, ...]]:
    """The data with the number of folds settled, and what is in them."""
    count, patience = config.folds, training.get("patience")
    if count is None:
        few = recipe == "pretrained" and not patience and data.paths("train")
        ties = read_ties(Path(data.folder))
        count = usual_folds(load_labels(data, "train"), config, ties) if few else 1
    if patience and count > 1:
        raise ValueError(
            f"patience must be 0 where trials are scored on {count} folds, since their trainings "
            f"have to be of one length, but got {patience}: leave it out, or set folds = 1 under "
            f"[data]"
        )
    settled = config.model_copy(update={"folds": count})
    return settled, data.folds(settled)


def recipe_for(config: SearchConfig, data: PreparedData, default_recipe: RecipeName) -> RecipeName:
    """The recipe for those who name none: pretrained networks where pictures are large enough.

    At the size of CIFAR's pictures, pretrained networks see nothing that they know.

    Who names a network, weights or a space means trainings that he knows.
    """
    own = {"network", "weights", "width", "depth"} & config.training.keys()
    if data.crop_size <= SMALL or own or config.space.name is not None:
        return default_recipe
    return "pretrained"


def _training(
    config: SearchConfig, recipe: RecipeName, images: int, resolution: int
) -> TrainConfig:
    """What all trainings share; fine-tunings see so many pixels, unless told otherwise."""
    training = training_for(recipe, config.training, images)
    changes: dict[str, object] = {"weights": at_absolute(training.weights)}
    if recipe == "pretrained" and "resolution" not in config.training:
        changes["resolution"] = resolution
    return training.model_copy(update=changes)


def _space(config: SearchConfig, training: TrainConfig) -> Space:
    """What is searched, with only the conditions that can still fail."""
    recipe, name = config.recipe, config.space.name
    if name == "pretrained" != recipe:
        raise ValueError(
            f"space 'pretrained' must go with recipe 'pretrained', but got recipe '{recipe}': "
            f"choose another one with --space, or --recipe pretrained"
        )
    if recipe == "pretrained" and config.study.pruner == "hyperband":
        raise ValueError(
            "pruner 'hyperband' compares trainings of one length, so it must not go with recipe "
            "'pretrained': set pruner = 'median' or 'none' under [study]"
        )
    varying = ("method",) if recipe == "pretrained" else ()
    fixed = {**training.model_dump(), "recipe": recipe}
    space = build_space(config, training).given(fixed, varying)
    if not space.parameters:
        raise ValueError(
            f"space '{name}' has no parameter for trainings of recipe '{recipe}': choose another "
            f"one with --space"
        )
    return space


def study_name(config: SearchConfig, data: PreparedData, recipe: RecipeName) -> str:
    """What the study is called: a name that may be a folder's, whatever that of the images is."""
    images = re.sub("[^A-Za-z0-9]+", "-", data.name).strip("-")[:80] or "images"
    return config.study.name or f"{images}-{recipe}"


def _with_length(config: SearchConfig) -> SearchConfig:
    """With the usual budget, if it was given no length."""
    if config.recipe == "pretrained" and config.trials is None and config.budget is None:
        return config.model_copy(update={"budget": USUAL_BUDGET})
    return config


def _with_space(config: SearchConfig) -> SearchConfig:
    own = "pretrained" if config.recipe == "pretrained" else "default"
    name = config.space.name or own
    file = name if name in NAMED_SPACES else absolute(name)
    return config.model_copy(update={"space": config.space.model_copy(update={"name": file})})


def _probes(config: SearchConfig, training: TrainConfig, space: Space) -> int | None:
    """How many trials are probes; None for recipes that have none."""
    if config.recipe != "pretrained":
        if config.probes:
            raise ValueError(
                f"probes must be left out, since only recipe 'pretrained' has them, but got "
                f"{config.probes} for recipe '{config.recipe}'"
            )
        return None
    if config.probes is not None:
        return config.probes
    if "method" in config.training:  # Whoever names one wants no other.
        return _ALL if training.method == "probe" else 0
    searched = any(p.applies({"method": "probe"}) for p in space.parameters.values())
    # With nothing to search, all are the same.
    most = PROBES if searched else 1
    return most if config.trials is None else max(1, min(most, config.trials // 2))
