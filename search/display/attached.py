"""What is attached to a study for those who look at it: the winner's config, card and report."""

from optuna.study import Study

from studies.dashboard.artifacts import attach
from studies.study import Place


def attach_results(study: Study, place: Place) -> None:
    """Attach what is there; it can be done again and again, and nothing piles up."""
    files = {
        "config.toml": place.folder / "best" / "config.toml",
        "metrics.json": place.folder / "best" / "metrics.json",
        "model-card.md": place.folder / "best" / "README.md",
        "report.html": place.folder / "report" / "index.html",
    }
    attach(study, place, files)
