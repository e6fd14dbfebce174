"""What a search may search: a space, checked against what trainings accept."""

from records.toml import validate
from search.config import SearchConfig
from search.plan.plan import networks_of
from space import NAMED_SPACES, Parameter, Space, Value, load_space, parse_space, with_ranges
from train_core.config import TrainConfig, laid_over
from train_core.networks import OF_TIMM, OWN_KEYS, TIMM, is_foreign

_NOT_SEARCHABLE = {
    "seed": "every trial has its own",
    "method": "the first trials are probes and the others are not",
    **dict.fromkeys(["weights", "weights_sha256"], "a study has one beginning"),
    "epochs": "trials of different lengths cannot be pruned fairly",
    "patience": "it would end trials at different epochs",
    **dict.fromkeys(["precision", "cuda_graph", "compile"], "it belongs to the machine"),
}
# Keys of the training that only some networks have.
_NOT_IN_ALL = (*OWN_KEYS, *OF_TIMM)
# What a probe has: of nothing else would it be another one. A fine-tuning begins with the best
# probe's head, and so with its `l2` and its `levels`.
_OF_PROBES = ("l2", "views", "levels")
_OF_BOTH = ("resolution",)


def build_space(config: SearchConfig, training: TrainConfig) -> Space:
    """The space that the config asks for, checked against what a training accepts.

    Raises:
        ValueError: In one sentence that names the space, the parameter and the rule.
    """
    space = load_space(config.space.name or "default")
    if config.space.parameters:
        own = parse_space(f"{space.name} with [space.parameters]", config.space.parameters)
        space = space.with_own(own)
    space = with_ranges(space, config.space.ranges).without(config.space.fixed)
    mixed = config.recipe == "pretrained"
    if mixed:
        space = _where_methods_have_them(space)
    space = _where_networks_have_them(space, config, networks_of(space, training))
    space.check([*TrainConfig.model_fields, "recipe"])
    _refuse_unsearchable(space, training, {"epochs"} if mixed else set())
    for name, parameter in space.parameters.items():
        key, where = parameter.sets or name, f"space '{space.name}', parameter '{name}'"
        at = _conditions(parameter, key)
        if not mixed and at.get("method", training.method) != training.method:
            continue  # It can never apply.
        for value in parameter.extremes():
            validate(TrainConfig, laid_over(training.model_dump(), {**at, key: value}), where)
    return space


def _conditions(parameter: Parameter, key: str) -> dict[str, Value]:
    """Values of other keys at which a parameter can apply."""
    asked = parameter.conditions()
    of_network = asked.get("network", [])[:1] if key in _NOT_IN_ALL else []
    at: dict[str, Value] = {"network": of_network[0]} if of_network else {}
    if of_method := asked.get("method", []):
        at["method"] = of_method[0]
    return at


def _refuse_unsearchable(space: Space, training: TrainConfig, compared: set[str]) -> None:
    """Refuse what no search can vary, and what this one's trainings cannot.

    `compared` are keys with which only trials of the same value are held against each other.
    """
    for name, parameter in space.parameters.items():
        key, where = parameter.sets or name, f"space '{space.name}', parameter '{name}'"
        if key not in compared and (key in _NOT_SEARCHABLE or key == "recipe"):
            reason = _NOT_SEARCHABLE.get(key, "a search has one")
            raise ValueError(f"{key} cannot be searched, since {reason} ({where})")
        if key in ("network", *OWN_KEYS) and training.weights != "none":
            raise ValueError(
                f'{key} cannot be searched where weights = "{training.weights}", which fit '
                f"one: name it in [space] fixed ({where})"
            )


def _where_methods_have_them(space: Space) -> Space:
    """The space with every key searched only in trials whose method makes use of it."""
    others = space.keys() - {*_OF_PROBES, *_OF_BOTH}
    return space.only_when(_OF_PROBES, "method", ["probe"]).only_when(
        others, "method", ["fine_tune"]
    )


def _where_networks_have_them(space: Space, config: SearchConfig, networks: list[str]) -> Space:
    """The space with keys that only some networks have searched with these only.

    What no network has is refused in the user's own space, and left out of a named one.
    """
    sized = [name for name in networks if not is_foreign(name)]
    of_timm = [name for name in networks if name.startswith(TIMM)]
    for keys, having in ((OWN_KEYS, sized), (OF_TIMM, of_timm)):
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
