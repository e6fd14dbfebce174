"""optuna-dashboard beside a study: notes, plots, files, and a guard that makes it read-only."""
