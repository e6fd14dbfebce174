"""`python -m search.finalize`: confirm, train, test and export what a study has found so far."""

import sys
from contextlib import redirect_stdout
from pathlib import Path

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
) -> int:
    """Do what follows the trials, on any study: stopped early, or still running elsewhere."""
    from search.display.progress import new_display
    from search.display.summary import command, conclude
    from search.session import finalize_study
    from studies.study import Place

    place = Place(study, Path(runs) / study, storage)
    output = LastingOutput(sys.stdout)
    with redirect_stdout(output):
        code = conclude(lambda: finalize_study(place, new_display(output)))
        if code == 0:
            print(f"{command('reports.run', place)} draws it all on one page")
    return code


if __name__ == "__main__":
    raise SystemExit(run_app(app))
