"""`python -m train_core.inspect FOLDER`: what a data set holds, before anything is trained on it.

It prints what a search would say first, and names the files: copies, pictures in two classes,
pictures that look alike, and those that cannot be read.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Annotated, Any

import typer

from records.command_line import new_app, run_app, say, user_mistakes
from records.toml import read_toml, validate
from train_core.data.alike import copies, near_copies
from train_core.data.config import DataConfig
from train_core.data.prepare import PreparedData, load_part, prepare

app = new_app()


@app.command()
def main(
    dataset: Annotated[str, typer.Argument(help="a folder of images, a table, or a known name")],
    config: Annotated[str | None, typer.Option(help="TOML file with a [data] section")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of lines")] = False,
) -> int:
    """Say what a data set holds and what is suspicious in it."""
    with user_mistakes():
        tables = {} if config is None else read_toml(config).get("data", {})
        # What cannot be read is what somebody wants to see here.
        asked = {**tables, "dataset": dataset, "skip_bad_images": True}
        prepared = prepare(validate(DataConfig, asked, config or "the command line"))
    named = named_files(prepared)
    if as_json:
        found = {"name": prepared.name, "classes": prepared.classes}
        found |= prepared.findings.model_dump(mode="json")
        say(json.dumps({**found, **named}))
    else:
        for line in chain(prepared.findings.lines(), _listed(named)):
            say(line)
    return 0


def named_files(prepared: PreparedData) -> dict[str, list[Any]]:
    """What is suspicious, by the paths of the files, all of them.

    "copies" and "two_classes" are sets with the same pixels, "near_copies" pairs that look alike;
    "unreadable" are paths with the reason. Without files, paths are "train 17" and the like.
    """
    images, paths, labels = list[Any](), list[str](), list[int]()
    for part in ("train", "test"):
        arrays = load_part(prepared, part)
        images += list(arrays.images)
        labels += arrays.labels.tolist()
        count = len(arrays.labels)
        paths += prepared.paths(part) or [f"{part} {row}" for row in range(count)]

    def named(sets: Sequence[Sequence[int]]) -> list[list[str]]:
        return [[paths[row] for row in rows] for rows in sets]

    sets = copies(images)
    mixed = [rows for rows in sets if len({labels[row] for row in rows}) > 1]
    return {
        "copies": named(sets),
        "two_classes": named(mixed),
        "near_copies": named(near_copies(images)),
        "unreadable": list(prepared.skipped),
    }


def _listed(named: dict[str, list[Any]]) -> Iterator[str]:
    titles = {
        "two_classes": "the same picture in two classes",
        "copies": "exact copies",
        "near_copies": "look alike (resized, encoded again or slightly changed)",
        "unreadable": "cannot be read",
    }
    for key, title in titles.items():
        if named[key]:
            yield f"{title}: {len(named[key]):,}"
        for one in named[key]:
            yield f"  {one if isinstance(one, str) else ' = '.join(one)}"


if __name__ == "__main__":
    raise SystemExit(run_app(app))
