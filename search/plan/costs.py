"""What several objectives ask of a space: costs that can differ from trial to trial."""

from collections.abc import Sequence

from space import Space
from train_core.networks import OWN_KEYS

_DECIDED_BY = {
    "parameters": ("network", *OWN_KEYS),
    "latency": ("network", *OWN_KEYS, "resolution"),
}


def refuse_constant(costs: Sequence[str], space: Space) -> None:
    """Refuse what would be the same in all trials.

    Raises:
        ValueError: In one sentence that says what to search.
    """
    for cost in costs:
        keys = _DECIDED_BY.get(cost, ())
        if keys and not {*keys} & space.keys():
            raise ValueError(
                f"objectives must differ from trial to trial, but {cost} depends on "
                f"{', '.join(keys)}, and space '{space.name}' searches none of them: search one "
                f"under [space.parameters], or leave {cost} out"
            )
