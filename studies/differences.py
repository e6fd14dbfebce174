"""What a study was made with and what a search wants now, held against each other in words."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

# Keys of `[data]` that say which of the training images validate; the others decide the images.
_OF_SPLIT = {"train_size", "validation_fraction", "split_seed", "folds", "fold_seed"}
# Keys of `[data]` that name places or are compared on their own.
_DECIDE_NOTHING = {"dataset", "root", "content", "train_on_validation", "mirror"}


class Made(NamedTuple):
    """What a search is made with: its fingerprint and its resolved configuration, JSON-able."""

    fingerprint: Mapping[str, Any]
    settings: Mapping[str, Any]


def differences(
    before: Made, now: Made, defaults: Mapping[str, Any], ignored: Collection[str]
) -> list[str]:
    """Every difference as "NAME BEFORE, not NOW"; empty if the search can go on.

    Args:
        before: Of the study.
        now: Of the search.
        defaults: What keys of the fingerprint had before there were such keys, nested like it.
        ignored: Dotted keys of the fingerprint that decide nothing.
    """
    found = [
        (name, old, new)
        for name, old, new in _pairs(before.fingerprint, now.fingerprint, defaults)
        if name not in ignored
    ]
    # Other images are split otherwise, and there are more or fewer of them: one cause is enough.
    follow = {"split", "data.count"} if any(name == "data.images" for name, *_ in found) else ()
    words: list[str] = []
    for name, old, new in found:
        if name == "data.images":
            words += _images(before, now, defaults)
        elif name == "split":
            of_split = _of_data(before, now, defaults, of_split=True)
            words += of_split or ([] if follow else ["another split into training and validation"])
        elif name not in follow:
            words.append(_in_words(name, old, new))
    return list(dict.fromkeys(words))


def apart_from_space(
    before: Made, now: Made, defaults: Mapping[str, Any], ignored: Collection[str]
) -> list[str]:
    """The differences that are not about what is searched, nor the seed of the sampler.

    What a searched key has without being searched differs from trial to trial anyway. Arguments
    as for `differences`.
    """
    spaces = [made.fingerprint.get("space", {}) for made in (before, now)]
    searched = {declared.get("sets", n) for space in spaces for n, declared in space.items()}
    before, now = (
        made._replace(fingerprint={k: v for k, v in made.fingerprint.items() if k != "space"})
        for made in (before, now)
    )
    more = ["seed", *(f"training.{key}" for key in searched)]
    return differences(before, now, defaults, [*ignored, *more])


def _pairs(
    before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any]
) -> Iterator[tuple[str, object, object]]:
    """Dotted key, what was stored, and what is wanted, where these are not the same."""
    for key in [*before, *(key for key in now if key not in before)]:
        default, new = defaults.get(key), now.get(key)
        section = default if isinstance(default, Mapping) else {}
        old = before.get(key, None if section else default)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            for name, then, wanted in _pairs(old, new, section):
                yield f"{key}.{name}", then, wanted
        elif old != new:
            yield key, old, new


def _images(before: Made, now: Made, defaults: Mapping[str, Any]) -> list[str]:
    """Why the images are not the same: by the configuration, or because they are others."""
    if known := _of_data(before, now, defaults, of_split=False):
        return known
    old, new = (made.fingerprint.get("data", {}).get("count") for made in (before, now))
    counts = "" if None in (old, new) else f": {old:,} instead of {new:,}"
    if counts and old == new:
        counts = f", as many as now ({new:,})"
    there, here = (made.settings.get("data", {}).get("dataset") for made in (before, now))
    places = "" if there in (here, None) else f" (of '{there}', not of '{here}')"
    return [f"other pictures{counts}{places}"]


def _of_data(before: Made, now: Made, defaults: Mapping[str, Any], *, of_split: bool) -> list[str]:
    """Differences of the `[data]` section that decide the split, or the images themselves."""
    old, new = (made.settings.get("data", {}) for made in (before, now))
    usual = defaults.get("data", {})
    return [
        _in_words(key, old.get(key, usual.get(key)), new.get(key, usual.get(key)))
        for key in [*old, *(key for key in new if key not in old)]
        if key not in _DECIDE_NOTHING and (key in _OF_SPLIT) == of_split
        if old.get(key, usual.get(key)) != new.get(key, usual.get(key))
    ]


def _in_words(name: str, old: object, new: object) -> str:
    section, _, inside = name.partition(".")
    if section not in ("data", "space", "training") or not inside:
        inside = name
    key, _, inner = inside.partition(".")
    if section == "space" and not inner and None in (old, new):
        return f"{key} fixed, not searched" if old is None else f"{key} searched, not fixed"
    what = (f"{inner} of {key}" if inner else key).replace("_", " ")
    return (
        f"no {what}, not {_shown(new)}"
        if old is None
        else f"{what} {_shown(old)}, not {_shown(new)}"
    )


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(inner)}" for key, inner in value.items())
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
