"""`python -m search.calibrate`: what random trainings to their end say about search settings."""

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

from typer import Context, Option

from records.command_line import LastingOutput, new_app, run_app, say, user_mistakes
from search.config import SearchConfig, load_search_config
from search.run import KEYS

if TYPE_CHECKING:
    from search.display.summary import SearchResult
    from studies.study import Place

app = new_app()

_Points = Annotated[int, Option(min=4, max=512, help="random points, 16 to 32 are usual")]
_Dataset = Annotated[str | None, Option(help="as of search.run [cifar10]")]
_ImageSize = Annotated[int | None, Option(help="side in pixels at which networks see images")]
_Study = Annotated[str | None, Option(help="name of the study [the data set's, -calibration]")]
_Recipe = Annotated[str | None, Option(help="cpu, fast, accurate, pretrained [as a search's]")]
_Space = Annotated[str | None, Option(help="default, extended, pretrained, or a TOML file")]
_Config = Annotated[str | None, Option(help="TOML file of the search that is planned")]
_Storage = Annotated[str | None, Option(help="URL of an Optuna storage [SQLite with the study]")]
_Workers = Annotated[int | None, Option(help="processes for trials [one per GPU, one on a CPU]")]
_Seed = Annotated[int | None, Option(help="seed of everything [0]")]
_Runs = Annotated[str | None, Option(help="folder for all studies [runs]")]


@app.command()
def main(  # noqa: PLR0913 - one argument per flag
    context: Context,
    points: _Points = 16,
    dataset: _Dataset = None,
    image_size: _ImageSize = None,
    study: _Study = None,
    recipe: _Recipe = None,
    space: _Space = None,
    config: _Config = None,
    storage: _Storage = None,
    workers: _Workers = None,
    seed: _Seed = None,
    runs: _Runs = None,
) -> int:
    """Train random points to their end; say what pruning, trials and confirmations are worth."""
    flags = {KEYS.get(k, k): v for k, v in context.params.items() if k != "points"}
    with user_mistakes():
        asked = load_search_config(flags.pop("config"), flags)
    # Imports Optuna and more, which a mistake in a flag should not have to wait for.
    from search.calibrate.settings import calibrating
    from search.display.progress import new_display
    from search.display.summary import conclude
    from search.session import run_search

    with user_mistakes():
        settings = calibrating(asked, points)
    output, results = LastingOutput(sys.stdout), []

    def search() -> "SearchResult":
        results.append(run_search(settings, new_display(output), only_trials=True))
        return results[0]

    with redirect_stdout(output):
        code = conclude(search)
        if not results or results[0].interrupted is not None:
            return code
        with user_mistakes():
            _say(asked, results[0].place)
    return 0


def _say(asked: SearchConfig, place: "Place") -> None:
    """What it came to: printed, as a page, and as settings."""
    from search.calibrate.calibration import Calibration
    from search.calibrate.figure import write_figure
    from search.calibrate.settings import write_settings
    from search.calibrate.words import lines
    from studies.attributes import trial_records
    from studies.study import find

    found = Calibration.of(trial_records(find(place)))
    for line in lines(found):
        say(line)
    page, settings = place.folder / "calibration.html", place.folder / "calibration.toml"
    write_figure(found, f"Calibration of {place.name}", page)
    write_settings(asked, found, settings)
    say(f"figures in {page}")
    say(f"python -m search.run --config {settings} searches with these settings")


if __name__ == "__main__":
    raise SystemExit(run_app(app))
