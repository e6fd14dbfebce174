"""`Plan`: a search with everything settled, made before the first trial and the same for all."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict

from records.files import absolute
from records.toml import validate, without_none
from search.config import SearchConfig
from space import NAMED_SPACES, Choice, Space, Value, load_space, parse_space
from studies.algorithms import seed_for
from studies.storage import at_absolute_path, shown
from studies.study import Place, Purpose
from train_core.config import (
    RecipeName,
    TrainConfig,
    laid_over,
    load_recipe,
    refuse_larger,
    training_for,
)
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, at_absolute_paths, load_labels
from train_core.data.split import digest_of, usual_folds
from train_core.networks import OWN_KEYS, TIMM, is_foreign
from train_core.networks.weights.files import at_absolute_path as at_absolute

_NOT_SEARCHABLE = {
    "seed": "every trial has its own",
    **dict.fromkeys(["weights", "weights_sha256"], "a study has one beginning"),
    "epochs": "trials of different lengths cannot be pruned fairly",
    "patience": "it would end trials at different epochs",
    **dict.fromkeys(["precision", "cuda_graph", "compile"], "it belongs to the machine"),
}
# Keys of the training that are no part of the fingerprint: every trial has its own seed, the
# others belong to the machine.
_DECIDES_NOTHING = {"seed", "precision", "cuda_graph", "compile"}
# Keys of the training that only some networks have.
_NOT_IN_ALL = (*OWN_KEYS, "drop_path")
# Where a file of weights is; what is in it is told by its hash.
_ELSEWHERE = {"weights"}


class Plan(BaseModel):
    """A search with everything settled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: SearchConfig  # What was asked for, with name, recipe and split settled too.
    training: TrainConfig  # What all trainings share; a point of the space and a seed complete it.
    space: Space
    data: PreparedData
    train_count: int  # Training images per trial, of its first fold if it has several.
    validation_count: int  # Images that a trial is scored on, of all folds together.
    final_count: int  # Training images of the final training.
    split: str  # Digest of which image is in which part.

    @property
    def name(self) -> str:
        """Name of the study."""
        assert self.config.study.name is not None
        return self.config.study.name

    @property
    def folder(self) -> Path:
        """Where this study's files go."""
        return Path(self.config.runs) / self.name

    @property
    def place(self) -> Place:
        """Where the study is."""
        return Place(self.name, self.folder, self.config.study.storage)

    @property
    def folds(self) -> int:
        """How many trainings a trial is, each scored on a fold of the training images."""
        assert self.config.data.folds is not None
        return self.config.data.folds

    @property
    def recipe(self) -> RecipeName:
        """The fixed part of every training."""
        assert self.config.recipe is not None
        return self.config.recipe

    @property
    def networks(self) -> list[str]:
        """The networks that trials may have."""
        return _networks(self.space, self.training)

    @property
    def with_drop_path(self) -> set[str]:
        """Those of them with which a training may have a `drop_path` above 0."""
        if self.training.drop_path > 0:
            return {*self.networks}
        found = [p for n, p in self.space.parameters.items() if (p.sets or n) == "drop_path"]
        return {str(n) for p in found for n in p.conditions().get("network", self.networks)}

    @property
    def left_out(self) -> list[str]:
        """Keys of a named space that no network of the search has."""
        asked = self.config.space
        keys = load_space(asked.name).keys() if asked.name in NAMED_SPACES else set()
        return [k for k in OWN_KEYS if k in keys - self.space.keys() - {*asked.fixed}]

    @property
    def fixed(self) -> dict[str, object]:
        """What conditions of the space may refer to."""
        return {**self.training.model_dump(), "recipe": self.config.recipe}

    @property
    def outside(self) -> dict[str, object]:
        """Searched keys of the training whose value lies outside the space."""
        return self.space.names_of(self.fixed)[1]

    def trial_config(self, point: Mapping[str, Value], index: int) -> TrainConfig:
        """The training at a point of the space; the trial's place in the search makes its seed."""
        seed = seed_for(self.config.study.seed, 2, index)
        # Sizes for a network that the point has and the settled training has not.
        sizes = load_recipe(self.recipe).model_dump(include=set(OWN_KEYS))
        base = {**sizes, **without_none(self.training.model_dump())}
        return TrainConfig.model_validate({**laid_over(base, point), "seed": seed})

    def training_of(self, config: Mapping[str, Any], **changes: Any) -> TrainConfig:
        """A trial's training with some keys changed; its weights are where they are by now."""
        here = {"weights": self.training.weights}
        return TrainConfig.model_validate({**config, **here, **changes})

    def begun_with(self, sha256: str | None) -> "Plan":
        """The plan with the hash of the weights that trainings start from."""
        if sha256 is None:
            return self
        known = {"weights_sha256": sha256}
        config = self.config.model_copy(update={"training": {**self.config.training, **known}})
        training = self.training.model_copy(update=known)
        return self.model_copy(update={"config": config, "training": training})

    def purpose(self) -> Purpose:
        """What the study must keep to: all that decides results."""
        first, _ = self.space.names_of(self.fixed)
        fingerprint = {
            "direction": "maximize",
            "recipe": self.config.recipe,
            "training": self.training.model_dump(exclude=_DECIDES_NOTHING | _ELSEWHERE),
            "space": without_none(self.space.model_dump()["parameters"]),
            "data": {
                "images": self.data.train.sha256[:20],
                "count": self.data.train.count,
                "mirror": self.data.mirror,
                "fit": self.data.fit,
            },
            "split": self.split,
            "seed": self.config.study.seed,
            "objective": self.config.study.objective,
        }
        of_space = {name: _defaults(type(p)) for name, p in self.space.parameters.items()}
        of_data = {**_defaults(DataConfig), "count": self.data.train.count, "folds": 1}
        defaults: dict[str, Any] = {"training": _defaults(TrainConfig), "space": of_space}
        defaults |= {"data": of_data, "objective": "accuracy"}
        # 0.1.0 kept these too.
        ignored = ["data.name", *(f"training.{key}" for key in sorted(_DECIDES_NOTHING))]
        return Purpose(fingerprint, self.settings(), first, defaults, ignored)

    def settings(self) -> dict[str, Any]:
        """The resolved configuration for every folder, without a URL that holds a password."""
        tables = without_none(self.config.model_dump())
        tables["runs"] = absolute(self.config.runs)
        url = self.config.study.storage
        if url is not None and unquote(shown(url)) != unquote(url):
            del tables["study"]["storage"]
        elif url is not None:
            tables["study"]["storage"] = at_absolute_path(url)
        return tables


def settle(config: SearchConfig, data: PreparedData, default_recipe: RecipeName) -> Plan:
    """Settle everything that the config left open, the recipe by what fits the device.

    Raises:
        ValueError: In one sentence, if the space does not fit the training or the images.
    """
    recipe = config.recipe or default_recipe
    seed = config.study.seed if config.data.split_seed is None else config.data.split_seed
    known = {"split_seed": seed, "image_size": data.crop_size}
    data_config = at_absolute_paths(config.data).model_copy(update=known)
    count = data_config.folds or _usual_folds(data, data_config, recipe)
    data_config = data_config.model_copy(update={"folds": count})
    folds = data.folds(data_config)
    training = training_for(recipe, config.training, len(folds[0].train))
    _refuse_patience(training, count)
    training = training.model_copy(update={"weights": at_absolute(training.weights)})
    refuse_larger(training.resolution, data.crop_size)
    # A name that may be a folder's, whatever the images' folder is called.
    images = re.sub("[^A-Za-z0-9]+", "-", data.name).strip("-")[:80] or "images"
    study = config.study.model_copy(update={"name": config.study.name or f"{images}-{recipe}"})
    file = {} if config.space.name in NAMED_SPACES else {"name": absolute(config.space.name)}
    settled = {
        "recipe": recipe,
        "space": config.space.model_copy(update=file),
        "data": data_config,
        "training": training.model_dump(exclude={"seed"}),
        "study": study,
    }
    return Plan(
        config=config.model_copy(update=settled),
        training=training,
        space=build_space(config, training).given({**training.model_dump(), "recipe": recipe}),
        data=data,
        train_count=len(folds[0].train),
        validation_count=sum(len(rows.validation) for rows in folds),
        final_count=len(folds[0].train) + len(folds[0].validation),
        split=digest_of(folds),
    )


def _usual_folds(data: PreparedData, config: DataConfig, recipe: RecipeName) -> int:
    """How many folds a search has that was not told."""
    if recipe != "pretrained" or not data.paths("train"):
        return 1
    return usual_folds(load_labels(data, "train"), config, data.ties())


def _refuse_patience(training: TrainConfig, folds: int) -> None:
    if training.patience and folds > 1:
        raise ValueError(
            f"patience must be 0 where trials are scored on {folds} folds, since their trainings "
            f"have to be of one length, but got {training.patience}: leave it out, or set "
            f"folds = 1 under [data]"
        )


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    optional = {k: field for k, field in model.model_fields.items() if not field.is_required()}
    return {k: field.get_default(call_default_factory=True) for k, field in optional.items()}


def build_space(config: SearchConfig, training: TrainConfig) -> Space:
    """The space that the config asks for, checked against what a training accepts.

    Raises:
        ValueError: In one sentence that names the space, the parameter and the rule.
    """
    space = load_space(config.space.name)
    if config.space.parameters:
        own = parse_space(f"{config.space.name} with [space.parameters]", config.space.parameters)
        space = space.with_own(own)
    space = space.without(config.space.fixed)
    space = _where_networks_have_them(space, config, _networks(space, training))
    space.check([*TrainConfig.model_fields, "recipe"])
    for name, parameter in space.parameters.items():
        key, where = parameter.sets or name, f"space '{space.name}', parameter '{name}'"
        if key in _NOT_SEARCHABLE or key == "recipe":
            reason = _NOT_SEARCHABLE.get(key, "a search has one")
            raise ValueError(f"{key} cannot be searched, since {reason} ({where})")
        if key in ("network", *OWN_KEYS) and training.weights != "none":
            raise ValueError(
                f'{key} cannot be searched where weights = "{training.weights}", which fit '
                f"one: name it in [space] fixed ({where})"
            )
        having = parameter.conditions().get("network", []) if key in _NOT_IN_ALL else []
        at = {"network": having[0]} if having else {}
        for value in parameter.extremes():
            validate(TrainConfig, laid_over(training.model_dump(), {**at, key: value}), where)
    return space


def _where_networks_have_them(space: Space, config: SearchConfig, networks: list[str]) -> Space:
    """The space with keys that only some networks have searched with these only.

    What no network has is refused in the user's own space, and left out of a named one.
    """
    sized = [name for name in networks if not is_foreign(name)]
    of_timm = [name for name in networks if name.startswith(TIMM)]
    for keys, having in ((OWN_KEYS, sized), (("drop_path",), of_timm)):
        if having == networks:
            continue
        for name, parameter in space.parameters.items():
            key = parameter.sets or name
            asked = parameter.conditions().get("network", networks)
            without = [n for n in networks if n in asked]
            own = name in config.space.parameters or config.space.name not in NAMED_SPACES
            if own and key in keys and without and not {*without} & {*having}:
                raise ValueError(
                    f"{key} cannot be searched, since {', '.join(without)} has none (space "
                    f"'{space.name}', parameter '{name}')"
                )
        space = space.only_when(keys, "network", having)
    return space


def _networks(space: Space, training: TrainConfig) -> list[str]:
    """The networks that trials may have, the settled one first."""
    searched = [p for name, p in space.parameters.items() if (p.sets or name) == "network"]
    names = [str(choice) for p in searched if isinstance(p, Choice) for choice in p.choices]
    return list(dict.fromkeys([training.network, *names]))
