"""How the parts of `benchmarks.gpu_check` ended, and the table that says so."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from benchmarks.gpu_part import Row, last_line, median

_LOG = 3000
"""Characters of a failed part's stderr that are kept."""

State = Literal["done", "skipped", "failed", "stopped"]


@dataclass(frozen=True)
class Outcome:
    """How one part ended.

    Attributes:
        name: Of the part.
        state: `stopped` = it ran past its limit.
        seconds: From start to end of its process.
        rows: What it had measured by then.
        reason: Why it did not end well.
        log: The end of its stderr, if it or anything in it failed, or if it was stopped.
    """

    name: str
    state: State
    seconds: float
    rows: tuple[Row, ...] = ()
    reason: str = ""
    log: str = ""


def outcome_of(name: str, code: int | None, seconds: float, out: str, err: str) -> Outcome:
    """What a part's process came to.

    Args:
        name: Of the part.
        code: Its exit code; None = it was stopped at its limit.
        seconds: How long it ran.
        out: Its stdout, with one JSON object per line.
        err: Its stderr.
    """
    ended = Outcome(name, "done", seconds, rows_of(out))
    if code is None:
        reason = f"ran past its limit of {seconds:.0f} s"
        return replace(ended, state="stopped", reason=reason, log=err[-_LOG:])
    if code:
        ending = f"signal {-code}" if code < 0 else f"exit code {code}"
        reason = last_line(err) or ending
        return replace(ended, state="failed", reason=reason, log=err[-_LOG:])
    if any("failed" in row.more for row in ended.rows):
        ended = replace(ended, log=err[-_LOG:])
    skipped = [said["skipped"] for said in _objects(out) if "skipped" in said]
    return replace(ended, state="skipped", reason=skipped[-1]) if skipped else ended


def rows_of(out: str) -> tuple[Row, ...]:
    """All rows in a part's stdout; those of one quantity are put together."""
    rows: dict[tuple[str, str], Row] = {}
    for said in _objects(out):
        if "what" not in said:
            continue
        row = Row(said["what"], said["unit"], tuple(said["values"]), said["more"])
        before = rows.get((row.what, row.unit), Row(row.what, row.unit))
        rows[row.what, row.unit] = replace(
            row, values=before.values + row.values, more={**before.more, **row.more}
        )
    return tuple(rows.values())


def table(outcomes: Sequence[Outcome]) -> str:
    """All parts and their rows, for people."""
    width = max((len(row.what) for o in outcomes for row in o.rows), default=0)
    return "\n".join(line for outcome in outcomes for line in _lines(outcome, width))


def headline(outcome: Outcome) -> str:
    """How a part ended, in one line."""
    reason = f": {outcome.reason}" if outcome.reason else ""
    return f"{outcome.name}: {outcome.state}, {outcome.seconds:.0f} s{reason}"


def _lines(outcome: Outcome, width: int) -> Iterator[str]:
    yield headline(outcome)
    for row in outcome.rows:
        more = ", ".join(f"{name} {figure(value)}" for name, value in row.more.items())
        yield f"    {row.what:{width}}  {_measured(row):40}  {more}".rstrip()


def _measured(row: Row) -> str:
    if not row.values:
        return ""
    found = f"{figure(median(row.values))} {row.unit}"
    if len(row.values) == 1:
        return found
    low, high = figure(min(row.values)), figure(max(row.values))
    return f"{found} ({low} to {high}, n = {len(row.values)})"


def figure(value: float | str) -> str:
    """A number with the digits that can be believed."""
    if isinstance(value, str):
        return value
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:.4g}"
    return f"{value:.3g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def _objects(out: str) -> Iterator[dict[str, Any]]:
    """The JSON objects among the lines; what a library prints is passed over."""
    for line in out.splitlines():
        if line.startswith("{"):
            try:
                yield json.loads(line)
            except ValueError:
                # The last line of a process that was killed while it wrote.
                continue
