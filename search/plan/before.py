"""What a study was begun with by an earlier version, for those who named neither."""

from collections.abc import Mapping
from typing import Any

from search.config import SearchConfig
from search.plan.plan import Plan
from search.plan.settle import study_name
from studies.study import SETTINGS, Place, find
from train_core.config import RecipeName


def as_before(config: SearchConfig, plan: Plan, recipe: RecipeName) -> SearchConfig:
    """The config with the recipe and the image size of a study that is there already.

    0.1.0 had others for those who named none.
    """
    known = _settings(plan.place)
    if plan.reason and (not known or known.get("recipe") == recipe):
        name = study_name(config, plan.data, recipe)
        earlier = Place(name, plan.folder.with_name(name), config.study.storage)
        if found := known or _settings(earlier):
            known, config = found, config.model_copy(update={"recipe": recipe})
    size = known.get("data", {}).get("image_size")
    if size is None or config.data.image_size is not None:
        return config
    data = config.data.model_copy(update={"image_size": size})
    return config.model_copy(update={"data": data})


def _settings(place: Place) -> Mapping[str, Any]:
    """Those of the study in this place; nothing if there is none."""
    try:
        found: Mapping[str, Any] = find(place, to_write=False).user_attrs.get(SETTINGS, {})
    except ValueError:
        return {}
    return found
