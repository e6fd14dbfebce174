"""`Plan`: a search with everything settled, made before the first trial and the same for all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict

from records.files import absolute
from records.toml import without_none
from search.config import SearchConfig
from search.plan.clock import Clock
from space import NAMED_SPACES, Choice, Space, Value, load_space
from studies.algorithms import seed_for
from studies.storage import at_absolute_path, shown
from studies.study import Place, Purpose
from train_core.config import Method, RecipeName, TrainConfig, laid_over, load_recipe
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData
from train_core.networks import OWN_KEYS

# Keys of the training that are no part of the fingerprint: every trial has its own seed, the
# others belong to the machine.
DECIDES_NOTHING = {"seed", "precision", "cuda_graph", "compile"}
# Where a file of weights is; what is in it is told by its hash.
ELSEWHERE = {"weights"}
_USUAL_TRIALS = 100  # Of a search without a budget.


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
    reason: str | None = None  # Why this recipe, where nobody named one.
    usual_budget: bool = False  # Whether nobody asked for the budget or for trials.
    clock: Clock | None = None  # The budget; None = there is none, or nobody looks at it.
    pick: str = ""  # "knee", "winner" or the number of the trial to export; "" = as `[confirm]`.
    only_trials: bool = False  # Whether the search ends with its trials.

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
    def trial_images(self) -> float:
        """Images that pass in an epoch of all folds, as far as time goes.

        Validation is a forward pass, about a third of a training step.
        """
        return self.folds * self.train_count + self.validation_count / 3

    @property
    def recipe(self) -> RecipeName:
        """The fixed part of every training."""
        assert self.config.recipe is not None
        return self.config.recipe

    @property
    def total(self) -> int | None:
        """Trials that the study ends with; None = as many as the budget allows."""
        config = self.config
        return config.trials or (_USUAL_TRIALS if config.budget is None else None)

    @property
    def probes(self) -> int | None:
        """How many trials are probes, before the first fine-tuning; None = all are of one kind."""
        return self.config.probes if self.recipe == "pretrained" else None

    @property
    def methods(self) -> list[Method]:
        """What trials may do."""
        return [self.training.method] if self.probes is None else ["probe", "fine_tune"]

    @property
    def side(self) -> int:
        """Side in pixels at which networks see the pictures at most."""
        return self.data.crop_size

    @property
    def networks(self) -> list[str]:
        """The networks that trials may have."""
        return networks_of(self.space, self.training)

    @property
    def with_drop_path(self) -> set[str]:
        """Those of them with which a training may have a `drop_path` above 0."""
        return self._networks_with("drop_path", fixed=self.training.drop_path > 0)

    @property
    def with_curriculum(self) -> set[str]:
        """Those of them with which a training's images may grow."""
        if self.methods == ["probe"]:
            return set()
        return self._networks_with("curriculum", fixed=self.training.curriculum != "none")

    def _networks_with(self, key: str, *, fixed: bool) -> set[str]:
        """Networks of trainings that make use of a key: by what is fixed, or by the space."""
        if fixed:
            return {*self.networks}
        found = [p for n, p in self.space.parameters.items() if (p.sets or n) == key]
        return {str(n) for p in found for n in p.conditions().get("network", self.networks)}

    @property
    def left_out(self) -> list[str]:
        """Keys of a named space that no network of the search has."""
        asked = self.config.space
        keys = load_space(str(asked.name)).keys() if asked.name in NAMED_SPACES else set()
        return [k for k in OWN_KEYS if k in keys - self.space.keys() - {*asked.fixed}]

    @property
    def fixed(self) -> dict[str, object]:
        """What conditions of the space may refer to."""
        return {**self.training.model_dump(), "recipe": self.config.recipe}

    @property
    def outside(self) -> dict[str, object]:
        """Searched keys of the training whose value lies outside the space."""
        found: dict[str, object] = {}
        for method in self.methods:
            found |= self.space.names_of({**self.fixed, "method": method})[1]
        # Of several methods, the first of each takes the nearest length that is searched.
        return {k: v for k, v in found.items() if self.probes is None or k != "epochs"}

    @property
    def first(self) -> dict[str, Value]:
        """Parameter name -> value of the first trial, as far as its values lie in the space."""
        method = "probe" if self.probes else self.methods[-1]
        return self.space.names_of({**self.fixed, "method": method})[0]

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
        fingerprint = {
            "direction": "maximize",
            "recipe": self.config.recipe,
            "training": self.training.model_dump(exclude=DECIDES_NOTHING | ELSEWHERE),
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
            "costs": " and ".join(self.config.study.costs) or None,
        }
        of_space = {name: _defaults(type(p)) for name, p in self.space.parameters.items()}
        of_data = {**_defaults(DataConfig), "count": self.data.train.count, "folds": 1}
        defaults: dict[str, Any] = {"training": _defaults(TrainConfig), "space": of_space}
        defaults |= {"data": of_data, "objective": "accuracy", "costs": None}
        # 0.1.0 kept these too.
        ignored = ["data.name", *(f"training.{key}" for key in sorted(DECIDES_NOTHING))]
        objectives = (self.config.study.objective, *self.config.study.costs)
        return Purpose(fingerprint, self.settings(), self.first, defaults, ignored, objectives)

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


def networks_of(space: Space, training: TrainConfig) -> list[str]:
    """The networks that trials may have, the settled one first."""
    searched = [p for name, p in space.parameters.items() if (p.sets or name) == "network"]
    names = [str(choice) for p in searched if isinstance(p, Choice) for choice in p.choices]
    return list(dict.fromkeys([training.network, *names]))


def _defaults(model: type[BaseModel]) -> dict[str, Any]:
    optional = {k: field for k, field in model.model_fields.items() if not field.is_required()}
    return {k: field.get_default(call_default_factory=True) for k, field in optional.items()}
