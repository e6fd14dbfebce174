"""`python -m search.finalize`: confirm, train, test and export what a study has found so far."""

from pathlib import Path
from typing import Annotated

import typer

from train_core.command_line import complain, new_app, run_app, user_mistakes

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
    from search.outcome import report
    from search.pool import TaskFailed, WorkerDied
    from search.progress import new_display
    from search.session import finalize_study
    from studies.study import Place

    try:
        with user_mistakes():
            result = finalize_study(Place(study, Path(runs) / study, storage), new_display())
    except (TaskFailed, WorkerDied) as error:
        complain(str(error))
        return 1
    except KeyboardInterrupt:
        complain("stopped; nothing is lost, run the same command again to go on")
        return 130
    for line in report(result):
        print(line)
    return result.exit_code


if __name__ == "__main__":
    raise SystemExit(run_app(app))
