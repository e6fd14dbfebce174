"""What a study was begun with by an earlier version, for those who named neither."""

from collections.abc import Mapping
from typing import Any

from search.config import SearchConfig
from search.plan.plan import Plan
from search.plan.settle import settle
from studies.study import SETTINGS, Place, find
from train_core.config import RecipeName


def as_before(config: SearchConfig, plan: Plan, recipe: RecipeName) -> SearchConfig:
    """The config with the recipe and the image size of a study that is there already.

    0.1.0 had others for those who named none.
    """
    known = _settings(plan.place)
    if plan.reason and (not known or known.get("recipe") == recipe):
        named = config.model_copy(update={"recipe": recipe})
        earlier = known or _settings(settle(named, plan.data, recipe).place)
        if earlier:
            known, config = earlier, named
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
