"""`python -m studies.run`: the command."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from records.command_line import RunsOption, StorageOption, new_app, run_app, say, user_mistakes
from studies.run.copy import copy
from studies.run.delete import delete, what_goes
from studies.run.overview import details, overview, places, table, text
from studies.run.table import export
from studies.storage import refuse_unusable, shown
from studies.study import Place

app = new_app()

_Name = Annotated[str, Argument(help="name of the study")]
_Json = Annotated[bool, Option("--json", help="as JSON")]
_Anyway = Annotated[
    bool, Option("--anyway", help="even if somebody seems to work on it, who has ended")
]


@app.command("list")
def list_studies(
    runs: RunsOption = "runs", storage: StorageOption = None, as_json: _Json = False
) -> int:
    """List the studies of a storage, or those in the folder of all studies."""
    with user_mistakes():
        found = [overview(place) for place in places(Path(runs), storage)]
    if as_json:
        _say_json([one.model_dump(mode="json") for one in found])
    elif not found:
        say(f"there is no study in '{runs}' yet: a search makes one")
    else:
        for line in table(found):
            say(line)
    return 0


@app.command()
def show(
    name: _Name, runs: RunsOption = "runs", storage: StorageOption = None, as_json: _Json = False
) -> int:
    """Show all about a study: trials, causes, space, settings."""
    with user_mistakes():
        study = details(_place(name, runs, storage))
    if as_json:
        _say_json(study.model_dump(mode="json"))
    else:
        for line in text(study):
            say(line)
    return 0


@app.command("copy")
def copy_study(
    name: _Name,
    to: Annotated[str, Option(help="URL of a storage, or a folder of studies")],
    new_name: Annotated[str | None, Option("--as", help="another name for the copy")] = None,
    runs: RunsOption = "runs",
    storage: StorageOption = None,
    anyway: _Anyway = False,
) -> int:
    """Copy a study into another storage, with its files; a search can go on with it there."""
    source, name = _place(name, runs, storage), new_name or name
    with user_mistakes():
        if "://" in to:
            refuse_unusable(to)
            target = Place(name, Path(runs) / name, to)
        else:
            target = Place(name, Path(to) / name)
        count = copy(source, target, anyway=anyway)
    say(f"study '{target.name}' with {count} trials is in '{shown(target.url)}'")
    say(f"its files are in '{target.folder}'; the same search goes on with {target.flags}")
    return 0


@app.command("export")
def export_trials(
    name: _Name,
    to: Annotated[Path, Option(help="file that ends with .csv or .parquet")],
    runs: RunsOption = "runs",
    storage: StorageOption = None,
) -> int:
    """Write the trials of a study as a table."""
    with user_mistakes():
        count = export(_place(name, runs, storage), to)
    say(f"{count} trials in '{to}'")
    return 0


@app.command("delete")
def delete_study(
    name: _Name,
    runs: RunsOption = "runs",
    storage: StorageOption = None,
    folder: Annotated[bool, Option("--folder", help="its folder too, with the model")] = False,
    yes: Annotated[bool, Option("--yes", help="do not ask")] = False,
    anyway: _Anyway = False,
) -> int:
    """Delete a study."""
    place = _place(name, runs, storage)
    with user_mistakes():
        goes = what_goes(place, folder=folder)
        if not yes and not sys.stdin.isatty():
            raise ValueError(f"deleting must be confirmed, but nobody can be asked: {goes}; --yes")
    say(goes)
    if not yes and not typer.confirm("delete it?"):
        say("nothing was deleted")
        return 0
    with user_mistakes():
        delete(place, folder=folder, anyway=anyway)
    say("deleted")
    return 0


def _place(name: str, runs: str, storage: str | None) -> Place:
    return Place(name, Path(runs) / name, storage)


def _say_json(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value, indent=1)}\n")


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
