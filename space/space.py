"""A space: an ordered set of named parameters that can be sampled."""

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations

from pydantic import BaseModel, ConfigDict

from records.toml import did_you_mean
from space.parameters import Int, Parameter, Suggester, Value


class Space(BaseModel):
    """Named parameters in the order in which they are sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # What messages call it: `default`, `extended`, or the path of the user's file.
    parameters: dict[str, Parameter]

    def sample(self, suggester: Suggester, fixed: Mapping[str, object]) -> dict[str, Value]:
        """Pick one point: key (not parameter name) -> value for every key that is set.

        Args:
            suggester: Picks the values, for instance an Optuna trial.
            fixed: The values of the keys that are not searched; conditions may name them.
        """
        point: dict[str, Value] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies({**fixed, **point}):
                point[parameter.sets or name] = parameter.suggest(name, suggester)
        return point

    def keys(self) -> set[str]:
        """All keys that some parameter sets."""
        return {parameter.sets or name for name, parameter in self.parameters.items()}

    def names_of(self, point: Mapping[str, object]) -> tuple[dict[str, Value], dict[str, object]]:
        """Translate a full point of keys back to parameter names, for a trial to be enqueued.

        The values that lie in the space are by parameter name, those that do not are by key.
        """
        named: dict[str, Value] = {}
        outside: dict[str, object] = {}
        for name, parameter in self.parameters.items():
            if parameter.applies(point):
                key = parameter.sets or name
                value = point.get(key)
                if isinstance(value, bool | int | float | str) and parameter.contains(value):
                    named[name] = value
                else:
                    outside[key] = value
        return named, outside

    def without(self, keys: Collection[str]) -> "Space":
        """The same space with these keys not searched; ValueError if no parameter sets one."""
        self._refuse_unknown(keys, self.keys(), "a fixed parameter")
        kept = {n: p for n, p in self.parameters.items() if (p.sets or n) not in keys}
        return self.model_copy(update={"parameters": kept})

    def with_own(self, own: "Space") -> "Space":
        """The same space with another one's parameters in the places of all for the same keys.

        Those for new keys come last.
        """
        merged: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            key = parameter.sets or name
            same_key = {n: p for n, p in own.parameters.items() if (p.sets or n) == key}
            merged |= same_key or {name: parameter}
        merged |= {n: p for n, p in own.parameters.items() if n not in merged}
        return self.model_copy(update={"name": own.name, "parameters": merged})

    def only_when(self, keys: Collection[str], condition: str, values: Sequence[Value]) -> "Space":
        """The same space, with parameters for some keys only where another key has these values.

        The other key's parameters come first, so that they are settled by then. What could apply
        at none of the values is left out.
        """
        first = {n: p for n, p in self.parameters.items() if (p.sets or n) == condition}
        merged: dict[str, Parameter] = {**first}
        for name, parameter in self.parameters.items():
            changed = parameter
            if (parameter.sets or name) in keys:
                asked = parameter.conditions().get(condition, values)
                left = [v for v in asked if v in values]
                if not left:
                    continue
                when = {**parameter.when, condition: left}
                changed = parameter.model_copy(update={"when": when})
            merged[name] = changed
        return self.model_copy(update={"parameters": merged})

    def at_most(self, limits: Mapping[str, int]) -> "Space":
        """The same space with whole numbers for some keys no larger than these limits.

        A limit below a range leaves its lowest value only.
        """
        merged: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            limit = limits.get(parameter.sets or name)
            if limit is None or not isinstance(parameter, Int) or parameter.high <= limit:
                merged[name] = parameter
            else:
                steps = max(0, limit - parameter.low) // parameter.step
                high = parameter.low + steps * parameter.step
                merged[name] = parameter.model_copy(update={"high": high})
        return self.model_copy(update={"parameters": merged})

    def given(self, fixed: Mapping[str, object], varying: Collection[str] = ()) -> "Space":
        """Only parameters that can apply, each with only the conditions that can still fail.

        `fixed` has a value for every key that a condition may name; searched keys are ignored, and
        those in `varying`, which are settled for every sample on its own.
        """
        kept: dict[str, Parameter] = {}
        for name, parameter in self.parameters.items():
            searched = {*varying, *(other.sets or n for n, other in kept.items())}
            unsettled = {k: v for k, v in parameter.when.items() if k in searched}
            settled = {k: v for k, v in parameter.when.items() if k not in searched}
            if parameter.model_copy(update={"when": settled}).applies(fixed):
                kept[name] = parameter.model_copy(update={"when": unsettled})
        return self.model_copy(update={"parameters": kept})

    def check(self, known: Collection[str]) -> None:
        """Refuse a space that a training, which has the known keys, could not follow.

        Raises:
            ValueError: The space is empty, a parameter sets an unknown key, a condition names
                a key that is not settled before, or two parameters set one key at the same time.
        """
        if not self.parameters:
            raise ValueError(
                f"a space needs at least one parameter, but space '{self.name}' is empty"
            )
        later = self.keys()
        for name, parameter in self.parameters.items():
            where = f"parameter '{name}'"
            self._refuse_unknown([parameter.sets or name], known, where)
            self._refuse_unknown(parameter.when, known, f"'when' of {where}")
            for key in later & set(parameter.when):
                raise ValueError(
                    f"'when' may only name what is declared earlier, but '{key}' comes later or "
                    f"not at all (space '{self.name}', {where})"
                )
            later = later - {parameter.sets or name}
        self._refuse_overlaps()

    def _refuse_unknown(self, keys: Collection[str], known: Collection[str], where: str) -> None:
        for key in keys:
            if key not in known:
                raise ValueError(
                    f"{where} must name a known key, but got '{key}': {did_you_mean(key, known)}"
                    f"known are {', '.join(sorted(known))} (space '{self.name}')"
                )

    def _refuse_overlaps(self) -> None:
        for (first, a), (second, b) in combinations(self.parameters.items(), 2):
            if (a.sets or first) != (b.sets or second):
                continue
            ours, theirs = a.conditions(), b.conditions()
            if not any(
                set(map(repr, ours[key])).isdisjoint(map(repr, theirs[key]))
                for key in ours.keys() & theirs
            ):
                raise ValueError(
                    f"two parameters may set one key only under conditions that exclude each "
                    f"other, but '{first}' and '{second}' can apply together (space '{self.name}')"
                )
