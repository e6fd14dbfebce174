"""`python -m search.run`: the whole job, from an empty study to a tested, exported model."""

import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Option

from records.command_line import LastingOutput, new_app, run_app, user_mistakes, warn
from search.config import SearchConfig, load_search_config, read_ranges

if TYPE_CHECKING:
    from studies.study import Place

app = new_app()

_Trials = Annotated[
    int | None, Option(help="trials in the end, over all restarts [100, or by the budget]")
]
_Budget = Annotated[str | None, Option(help="time for everything, as 90s, 20m or 2h [none]")]
_Dataset = Annotated[
    str | None,
    Option(
        help="cifar10, cifar100, fashion-mnist, digits, a folder of images or a table [cifar10]"
    ),
]
_ImageSize = Annotated[
    int | None, Option(help="side in pixels at which networks see images [32 or 224]")
]
_Study = Annotated[str | None, Option(help="name of the study [data set and recipe]")]
_Recipe = Annotated[
    str | None, Option(help="cpu, fast, accurate, pretrained [by the pictures and the device]")
]
_Space = Annotated[
    str | None, Option(help="default, extended, pretrained, or a TOML file [by the recipe]")
]
_Config = Annotated[str | None, Option(help="TOML file for everything else; flags win over it")]
_Storage = Annotated[str | None, Option(help="URL of an Optuna storage [SQLite with the study]")]
_Workers = Annotated[int | None, Option(help="processes for trials [one per GPU, one on a CPU]")]
_Engine = Annotated[str | None, Option(help="processes, or ray for a cluster [processes]")]
_Timeout = Annotated[float | None, Option(help="seconds after which no new trial starts [none]")]
_Seed = Annotated[int | None, Option(help="seed of everything [0]")]
_Runs = Annotated[str | None, Option(help="folder for all studies [runs]")]
_Range = Annotated[
    list[str] | None, Option(help="NAME=LOW:HIGH of a parameter; may be repeated [the space's]")
]
_Continue = Annotated[
    str | None, Option(help="study whose trials are taken over where they fit [none]")
]
_Warm = Annotated[
    list[str] | None, Option(help="study whose best points come first; may be repeated [none]")
]
_Dashboard = Annotated[bool | None, Option("--dashboard", help="serve optuna-dashboard meanwhile")]

# Flag -> key of the config, where they differ.
KEYS = {
    "dataset": "data.dataset",
    "image_size": "data.image_size",
    "study": "study.name",
    "space": "space.name",
    "storage": "study.storage",
    "workers": "workers.count",
    "engine": "workers.engine",
    "seed": "study.seed",
    "range": "space.ranges",
    "continue_from": "study.continue_from",
    "warm_start": "study.warm_start",
}


@app.command()
def main(  # noqa: PLR0913 - one argument per flag
    context: Context,
    trials: _Trials = None,
    budget: _Budget = None,
    dataset: _Dataset = None,
    image_size: _ImageSize = None,
    study: _Study = None,
    recipe: _Recipe = None,
    space: _Space = None,
    config: _Config = None,
    storage: _Storage = None,
    workers: _Workers = None,
    engine: _Engine = None,
    timeout: _Timeout = None,
    seed: _Seed = None,
    runs: _Runs = None,
    range: _Range = None,
    continue_from: _Continue = None,
    warm_start: _Warm = None,
    dashboard: _Dashboard = None,
) -> int:
    """Search, prune, confirm, retrain, test once, export."""
    with user_mistakes():
        flags = dict(_flags(context.params))
        settings = load_search_config(flags.pop("config"), flags)
    return _search(settings)


def _flags(params: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Keys of the config and what flags say; None = was not given."""
    for name, value in params.items():
        given = value
        if name == "range":
            given = read_ranges(value or ()) or None
        elif isinstance(value, Sequence) and not isinstance(value, str):
            given = list(value) or None
        yield KEYS.get(name, name), given


def _search(settings: SearchConfig) -> int:
    """Search, say what it came to and draw it; returns the exit code."""
    # Imports Optuna and more, which a mistake in a flag should not have to wait for.
    from search.display.progress import new_display
    from search.display.summary import SearchResult, conclude
    from search.session import run_search
    from studies.broker.presence import StudyDeleted

    begun: list[Place] = []
    output = LastingOutput(sys.stdout)

    def search() -> SearchResult:
        try:
            return run_search(settings, new_display(output), begun.append)
        except StudyDeleted:
            begun.clear()  # There is nothing to draw.
            raise

    with redirect_stdout(output):
        code = conclude(search)
        _draw(begun[: settings.report])
    return code


def _draw(places: "Sequence[Place]") -> None:
    """The pages about searches; whatever goes wrong with one, its search has ended as it has."""
    from search.display.dashboard import attach_results
    from search.display.progress import EventLog
    from search.display.summary import command

    for place in places:
        try:
            from reports.run import write_report
            from studies.study import find

            print(f"report in {write_report(place)}")
            attach_results(find(place), place)
        except (Exception, KeyboardInterrupt) as fault:  # noqa: BLE001
            with suppress(OSError):
                EventLog(place.folder).write(traceback.format_exc().rstrip())
            reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
            warn(
                f"the report could not be drawn ({reason}), the search is as it was: "
                f"{command('reports.run', place)} tries again, search.log says more"
            )


if __name__ == "__main__":
    raise SystemExit(run_app(app))
