"""Whether thresholds that are chosen on held-out pictures keep their promise on test pictures.

    python -m benchmarks.tag_precision runs/x/best [--precision 0.8 0.9 0.95 0.99]

Chosen as `python -m serve.tag --precision` does, from `validation.npz`; measured on what
`evaluation.npz` holds of the test pictures, which play no part in the choice.
"""

import argparse
from pathlib import Path

import numpy as np

from records.metrics import read_metrics
from serve.library.thresholds import per_class, read_held_out


def main() -> None:
    """A line for every wanted precision."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path, help="an exported folder with validation.npz")
    parser.add_argument("--precision", type=float, nargs="+", default=[0.8, 0.9, 0.95, 0.99])
    options = parser.parse_args()
    classes, held = read_metrics(options.best).data.classes, read_held_out(options.best)
    if held is None:
        raise SystemExit(f"'{options.best}' has no validation.npz")
    with np.load(options.best / "evaluation.npz") as file:
        labels, said = file["labels"], file["probabilities"]
    print(
        f"chosen on {len(held.labels):,} held-out pictures x {len(held.predicted)} confirmations, "
        f"measured on {len(labels):,} test pictures"
    )
    for wanted in options.precision:
        found = per_class(held, classes, wanted)
        least = [found[name].probability for name in classes]
        _report(wanted, np.array([np.inf if one is None else one for one in least]), labels, said)


def _report(wanted: float, least: np.ndarray, labels: np.ndarray, said: np.ndarray) -> None:
    predicted = said.argmax(1)
    trusted = said.max(1) >= least[predicted]
    right = predicted == labels
    each = [right[trusted & (predicted == c)] for c in range(said.shape[1])]
    shares = [float(one.mean()) for one in each if len(one)]
    never = f"{np.isinf(least).sum()} of {len(least)} classes never trusted"
    if not shares:
        print(f"wanted {wanted:.0%}: {never}")
        return
    print(
        f"wanted {wanted:.0%}: {right[trusted].mean():.1%} of the trusted are right, "
        f"{trusted.mean():.0%} are trusted; by class {min(shares):.1%} to {max(shares):.1%}, "
        f"{never}"
    )


if __name__ == "__main__":
    main()
