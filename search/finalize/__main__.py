"""`python -m search.finalize`: confirm, train, test and export what a study has found so far."""

from pathlib import Path
from typing import Annotated

import typer

from records.command_line import new_app, run_app

app = new_app()


@app.command()
def main(
    study: Annotated[str, typer.Option(help="name of the study")],
    runs: Annotated[str, typer.Option(help="folder of all studies")] = "runs",
    storage: Annotated[
        str | None, typer.Option(help="URL of its storage [SQLite in the study's folder]")
    ] = None,
) -> int:
    """Do what follows the trials, on any study: stopped early, or still running elsewhere."""
    from search.display.progress import new_display
    from search.display.summary import command, conclude
    from search.session import finalize_study
    from studies.study import Place

    place = Place(study, Path(runs) / study, storage)
    code = conclude(lambda: finalize_study(place, new_display()))
    if code == 0:
        print(f"{command('reports.run', place)} draws it all on one page")
    return code


if __name__ == "__main__":
    raise SystemExit(run_app(app))
