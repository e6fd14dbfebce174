"""`python -m search.finalize`: confirm, train, test and export what a study has found so far."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

from typer import Option

from records.command_line import (
    LastingOutput,
    RunsOption,
    StorageOption,
    StudyOption,
    new_app,
    run_app,
)

app = new_app()


@app.command()
def main(
    study: StudyOption,
    runs: RunsOption = "runs",
    storage: StorageOption = None,
    pick: Annotated[
        str, Option(help="trial to export: its number, 'knee' of the front, or 'winner'")
    ] = "",
) -> int:
    """Do what follows the trials, on any study: stopped early, or still running elsewhere."""
    from search.display.progress import new_display
    from search.display.summary import SearchResult, command, conclude
    from search.finalize.pick import trial_called
    from search.session import finalize_study
    from studies.attributes import trial_records
    from studies.study import Place, find

    place = Place(study, Path(runs) / study, storage)
    output = LastingOutput(sys.stdout)

    def finalize() -> SearchResult:
        if pick:
            trial_called(pick, trial_records(find(place)))  # Refused before anything starts.
        return finalize_study(place, new_display(output), pick)

    with redirect_stdout(output):
        code = conclude(finalize)
        if code == 0:
            print(f"{command('reports.run', place)} draws it all on one page")
    return code


if __name__ == "__main__":
    raise SystemExit(run_app(app))
