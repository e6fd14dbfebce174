"""The command that searches on beyond the ends of ranges where the best trials lie."""

import math
import shlex
from collections.abc import Sequence

from reports.numbers.parameters import Range
from reports.source import Source
from studies.storage import shown

_MORE = 0.5  # By which share of itself a range grows, on its own scale.


def wider(ranges: Sequence[Range], source: Source) -> str | None:
    """The command that goes on with a study in ranges that are wider where the best trials lie.

    None if no range can be.
    """
    ends = [(r.name, *found) for r in ranges if r.edge and (found := widened(r)) is not None]
    if not ends:
        return None
    place = source.place
    config = str(place.folder / "search.toml")
    words = ["--config", config, "--study", f"{place.name}-wider", "--continue-from", place.name]
    for name, low, high in ends:
        words += ["--range", f"{name}={low:g}:{high:g}"]
    # What search.toml leaves out, since it may hold a password.
    if place.storage and source.setting("study", "storage", None) is None:
        words += ["--storage", shown(place.storage)]
    return f"python -m search.run {shlex.join(words)}"


def widened(found: Range) -> tuple[float, float] | None:
    """The range, wider by half at the edge where the best trials are, with three digits there.

    Shares, which lie in [0, 1], stay in it: at most half of what is left to 1 is added. Whole
    numbers grow by one at least, and not below 1. None if nothing is left.
    """
    low, high, share = found.low, found.high, found.low >= 0 and found.high <= 1
    if found.log:
        factor = (high / low) ** _MORE
        ends = (low / factor, high) if found.edge == "low" else (low, high * factor)
    elif found.whole:
        more = float(max(1, math.floor((high - low) * _MORE / found.step)) * found.step)
        least = max(1.0, low - more) if low >= 1 else low - more
        down = (low - least) // found.step * found.step
        ends = (low - down, high) if found.edge == "low" else (low, high + more)
    else:
        more = (high - low) * _MORE
        up = min(more, (1 - high) / 2) if share else more
        down = min(more, low) if low >= 0 else more
        ends = (low - down, high) if found.edge == "low" else (low, high + up)
    rounded = tuple(
        end if end in (low, high) else float(f"{end:.0f}" if found.whole else f"{end:.3g}")
        for end in ends
    )
    return (rounded[0], rounded[1]) if rounded != (low, high) else None
