"""Notes on a study and its trials, as Markdown, where optuna-dashboard looks for them.

The dashboard shows no HTML and no pictures inside a note, so a curve is a line of block characters
above a table. It keeps a note as a version and as text in pieces, attributes of the study.
`optuna_dashboard.save_note` reads all attributes twice per note; here they are read once for all
notes that have changed.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from optuna.study import Study

from records.outcome import Cause
from records.trial import TrialRecord
from records.words import costs, of_method

Item = TypeVar("Item", int, float)
Rows = Sequence[tuple[str, str]]  # The rows of a table: what it is, and what it says.
_MOST_EPOCHS = 12  # Epochs in a table, evenly spaced: a note should be one screen.
_MOST_WORDS = 300  # Characters of a reason.
_BLOCKS = "\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588"
_WIDEST = 60  # Blocks in a curve.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&-])")
PIECE = 2045  # Characters of a piece: the longest value that every storage takes.
# Ends what is ours. Markdown takes it for a link that nobody uses, and does not show it.
BELOW = '[//]: # "convsearch writes what is above this line, and keeps what is below"'
_COLUMNS = {"train_loss": "training loss", "val_loss": "validation loss", "lr": "learning rate"}


class DashboardNotes:
    """Keeps the notes of one study, in any storage, up to date; writes only what has changed.

    What people wrote themselves is kept, below ours.
    """

    def __init__(self, study: Study, score: str = "accuracy") -> None:
        self._study, self._storage, self._score = study, study._storage, score
        self._texts: dict[int | None, str] = {}
        self._settled: set[int] = set()

    def update(self, text: str, trials: Sequence[TrialRecord]) -> None:
        """Write the study's note and those of all trials but the ones that wait for a worker."""
        wanted: dict[int | None, str] = {None: text}
        frozen = self._study.get_trials(deepcopy=False)
        started = [t for t in trials if t.number not in self._settled and t.state != "waiting"]
        wanted |= {
            frozen[trial.number]._trial_id: trial_note(trial, self._score) for trial in started
        }
        changed = {key: ours for key, ours in wanted.items() if self._texts.get(key) != ours}
        if changed:
            present = self._storage.get_study_system_attrs(self._study._study_id)
            for key, ours in changed.items():
                self._write(key, ours, present)
        self._texts |= changed
        self._settled |= {trial.number for trial in started if trial.state != "running"}

    def _write(self, key: int | None, ours: str, present: Mapping[str, Any]) -> None:
        old = _pieces(key, present)
        body = with_ours("".join(old), ours)
        if body == "".join(old):
            return
        pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
        # Pieces cannot be removed; empty ones add nothing.
        blank = [""] * (len(old) - len(pieces))
        for place, piece in enumerate([*pieces, *blank]):
            self._set(f"{_prefix(key)}note_str:{place}", piece)
        version = f"{_prefix(key)}note_ver"
        self._set(version, int(present.get(version, 0)) + 1)

    def _set(self, name: str, value: str | int) -> None:
        self._storage.set_study_system_attr(self._study._study_id, name, value)


def with_ours(note: str, ours: str) -> str:
    """A note with our part replaced, or put above what somebody wrote."""
    _, found, theirs = note.partition(BELOW)
    theirs = theirs if found else f"\n\n{note}"
    return f"{ours}\n\n{BELOW}{theirs}".rstrip() + "\n"


def _pieces(key: int | None, present: Mapping[str, Any]) -> list[str]:
    pieces: list[str] = []
    while (name := f"{_prefix(key)}note_str:{len(pieces)}") in present:
        pieces.append(present[name])
    return pieces


def _prefix(key: int | None) -> str:
    """What the attributes of a note begin with: a trial's id in the storage, None = the study."""
    return "dashboard:" if key is None else f"dashboard:{key}:"


def trial_note(trial: TrialRecord, score: str = "accuracy") -> str:
    """How a trial ended, or how far it is, in words, with its curve of what is maximised."""
    parts = _outcome(trial, score), _history(trial), _curve(trial), _table(trial, score)
    return "\n\n".join(part for part in parts if part)


def study_note(name: str, state: Sequence[str], plan: Rows, result: Rows) -> str:
    """What a study is for, where it stands (the first sentence is the headline), what came out.

    `result` is empty before the end.
    """
    headline, *more = (escaped(sentence) for sentence in state)
    tables = [_facts(title, rows) for title, rows in (("result", result), ("plan", plan)) if rows]
    return "\n\n".join([f"## {escaped(name)}", f"**{headline}**", *more, *tables])


def escaped(text: object) -> str:
    """Text of others, such as names of classes and messages, so that Markdown shows it as is."""
    return _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))


def percent(value: float | None) -> str:
    """An accuracy for people."""
    return f"{value:.2%}" if value is not None and math.isfinite(value) else "not a number"


def sparkline(values: Sequence[float]) -> str:
    """One block per value, from the lowest to the highest level.

    What is not finite is a gap; a flat curve is drawn at half height; of more than 60 values,
    evenly spaced ones are drawn.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(finite), max(finite)

    def block(value: float) -> str:
        if not math.isfinite(value):
            return " "
        share = (value - low) / (high - low) if high > low else 0.5
        return _BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)]

    return "".join(map(block, spread(values, _WIDEST)))


def spread(values: Sequence[Item], count: int) -> list[Item]:
    """At most `count` of them, at least 2, evenly spaced, the first and the last one included."""
    if len(values) <= count:
        return list(values)
    return [values[round(place * (len(values) - 1) / (count - 1))] for place in range(count)]


def _outcome(trial: TrialRecord, score: str) -> str:
    epochs = f"{len(trial.curve)} epoch{'' if len(trial.curve) == 1 else 's'}"
    accuracy = "no result"
    if trial.curve:
        accuracy = f"{percent(trial.curve[max(trial.curve)])} validation {score}"
    seconds = "" if trial.seconds is None else f" in {trial.seconds:,.0f} s"
    text = trial.reason or "for no known reason"
    reason = escaped(text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]}...")
    kind, result = of_method(trial.method), f"{accuracy} after {epochs}{seconds}"
    match trial.state:
        case "complete":
            spent = f", with {escaped(costs(trial.costs))}" if trial.costs else ""
            return f"**Complete{kind}**: {result}{spent}."
        case "pruned":
            return f"**Pruned{kind}**: {reason}. {result}."
        case "failed":
            return f"**Failed** after {epochs}: {reason}"
        case "running":
            planned = (trial.config or {}).get("epochs", 0) * trial.folds
            of = f" of {planned}" if planned else ""
            return f"**Running{of_method(trial.method)}**: {accuracy} after {epochs}{of}."
        case "requeued" if trial.cause == Cause.PAUSED:
            return f"**Taken up again**: {reason}. It went on under another number."
        case "requeued":
            return (
                f"**Stopped from outside** after {epochs}. It goes on under another number, as "
                f"place {trial.index} of the search."
            )
        case _:
            return "**Waiting** for a worker."


def _history(trial: TrialRecord) -> str:
    """Where it comes from, and what the pruner would have done with it."""
    origin = f"{trial.origin}." if trial.origin else ""
    audit = "The pruner would have stopped it after epoch {}; it was finished to check the pruner."
    audited = "" if trial.audited is None else audit.format(trial.audited)
    return escaped(f"{origin[:1].upper()}{origin[1:]} {audited}".strip())


def _curve(trial: TrialRecord) -> str:
    values = [trial.curve[epoch] for epoch in sorted(trial.curve)]
    drawn = sparkline(values)
    if not drawn:
        return ""
    finite = [value for value in values if math.isfinite(value)]
    return f"```\n{drawn}  {percent(min(finite))} to {percent(max(finite))}\n```"


def _table(trial: TrialRecord, score: str) -> str:
    if not trial.curve:
        return ""
    more = {name: trial.history[name] for name in _COLUMNS if trial.history.get(name)}
    heads = ["epoch", f"validation {score}", *(_COLUMNS[name] for name in more)]
    lines = [_row(heads), _row(["---:"] * len(heads))]
    for epoch in spread(sorted(trial.curve), _MOST_EPOCHS):
        known = [v[epoch - 1] if epoch <= len(v) else None for v in more.values()]
        cells = ["-" if value is None else f"{value:.4g}" for value in known]
        lines.append(_row([str(epoch), percent(trial.curve[epoch]), *cells]))
    return "\n".join(lines)


def _facts(title: str, rows: Rows) -> str:
    lines = [_row([title, ""]), _row(["---", "---"])]
    return "\n".join([*lines, *(_row([escaped(name), escaped(text)]) for name, text in rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
