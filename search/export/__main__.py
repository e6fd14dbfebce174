"""`python -m search.export`: the best model of a study in the format of another framework."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from records.command_line import RunsOption, StudyOption, complain, new_app, run_app, user_mistakes
from search.export.tensorflow import ConversionFailed, require_tensorflow

Format = Literal["onnx", "torch", "tensorflow", "int8"]

app = new_app()


@app.command()
def main(
    study: StudyOption,
    format: Annotated[Format, typer.Option(help="int8 is ONNX for small devices")],
    runs: RunsOption = "runs",
) -> int:
    """Write `runs/STUDY/best/model.*`, compare it with PyTorch, and say how far they differ."""
    folder = Path(runs) / study / "best"
    with user_mistakes():
        if not (folder / "model.safetensors").is_file():
            from studies.study import Place  # Imports Optuna, which nothing else here needs.

            raise ValueError(
                f"a study must have an exported model, but '{folder}' holds none: "
                f"`python -m search.finalize {Place(study, folder.parent).flags}` makes it"
            )
        if format == "tensorflow":
            require_tensorflow()
    # Imports torch, which a mistake should not have to wait for.
    from search.export.formats import export_of
    from search.export.onnx import ExportMismatch

    with user_mistakes():
        export = export_of(folder, format)
    try:
        lines = export.write()
    except (ExportMismatch, ConversionFailed) as error:
        complain(f"{error}; nothing was written")
        return 1
    for line in lines:
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(run_app(app, lasting=True))
