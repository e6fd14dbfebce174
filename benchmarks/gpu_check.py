"""All that matters on a machine with a GPU, in one unattended command of under ten minutes.

    python -m benchmarks.gpu_check --dataset FOLDER [--airbench FOLDER] [--out FILE.json]

Every part is a process with a time limit of its own: one that crashes or hangs costs itself, and
what it had measured until then stays. The most important parts come first, the JSON file is
written anew after each, and a part for which no time is left is named; `--parts` runs it alone.

All parts need the packages that `train_core` imports; `tests` also pytest and hypothesis, but
neither xdist nor pytest-timeout; `search` everything that the project depends on but plotly and
optuna-dashboard. To a machine without a network, where torch, torchvision and the usual scientific
packages are there already, these go as wheels: pydantic pydantic-core annotated-types
typing-inspection typing-extensions tomli-w typer optuna alembic mako colorlog sqlalchemy greenlet
cmaes; and where it lacks them, hypothesis (with sortedcontainers) safetensors filelock psutil rich
pytest onnx onnxruntime onnxscript.

`--airbench` is a checkout of KellerJordan/cifar10-airbench; its scripts run as they are, on our
images, and only as long as it takes to time them.
"""

import argparse
import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.gpu_part import NotHere, Row, Setting
from benchmarks.gpu_report import Outcome, headline, table
from benchmarks.gpu_run import run_part

_LEAST = 12.0
"""Seconds under which no part is started: importing torch alone takes some."""


@dataclass(frozen=True)
class Part:
    """One part: its function, what that is given, and the seconds after which it is stopped."""

    name: str
    limit: float
    module: str
    function: str
    arguments: tuple[str, ...] = ()


PARTS = (
    Part("machine", 40, "gpu_machine", "machine"),
    Part("images", 60, "gpu_commands", "images"),
    Part("tests", 90, "gpu_commands", "gpu_tests"),
    Part("equal", 45, "gpu_compared", "equal"),
    Part("speed-fast", 60, "gpu_steps", "speed", ("fast",)),
    Part("speed-cpu", 60, "gpu_steps", "speed", ("cpu",)),
    Part("speed-accurate", 70, "gpu_steps", "speed", ("accurate",)),
    Part("train", 120, "gpu_commands", "trainings"),
    Part("search", 150, "gpu_commands", "searched"),
    Part("usual", 60, "gpu_compared", "usual"),
    Part("airbench94", 45, "gpu_peers", "airbench", ("legacy/airbench94.py",)),
    Part("streams", 40, "gpu_parallel", "streams"),
    Part("processes", 75, "gpu_parallel", "processes"),
    Part("stacked", 45, "gpu_stacked", "stacked"),
    Part("compile", 150, "gpu_steps", "compiled"),
    Part("airbench96", 75, "gpu_peers", "airbench", ("legacy/airbench96.py",)),
    Part("airbench94-muon", 180, "gpu_peers", "airbench", ("airbench94_muon.py",)),
    Part("airbench94-compiled", 180, "gpu_peers", "airbench", ("legacy/airbench94_compiled.py",)),
    Part("search-graph", 150, "gpu_commands", "searched", ("cuda_graph = true",)),
)
"""In the order in which they run."""


def main() -> int:
    """Run the parts, and print the table."""
    options = _options()
    if options.part:
        return _be_part(options)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory() as folder:
        for outcome in _all_parts(options, Path(folder)):
            outcomes.append(outcome)
            print(table([outcome]), flush=True)
            _write(options.out, outcomes)
    print("\n".join(map(headline, outcomes)))
    return int(any(outcome.state in ("failed", "stopped") for outcome in outcomes))


def _all_parts(options: argparse.Namespace, work: Path) -> Iterator[Outcome]:
    end = time.monotonic() + options.budget
    for part in PARTS:
        if options.parts and part.name not in options.parts:
            continue
        left = end - time.monotonic()
        if left < _LEAST:
            yield Outcome(part.name, "skipped", 0.0, reason=f"no time left: --parts {part.name}")
        else:
            yield _run(part, options, work, min(part.limit, left))


def _run(part: Part, options: argparse.Namespace, work: Path, limit: float) -> Outcome:
    command = [sys.executable, "-m", "benchmarks.gpu_check", "--part", part.name]
    command += ["--dataset", options.dataset, "--work", str(work)]
    command += ["--airbench", options.airbench] if options.airbench else []
    command += ["--smoke"] if options.smoke else []
    return run_part(part.name, command, limit, work)


def _be_part(options: argparse.Namespace) -> int:
    part = next(part for part in PARTS if part.name == options.part)
    measure: Callable[..., Iterator[Row]] = getattr(
        importlib.import_module(f"benchmarks.{part.module}"), part.function
    )
    airbench = Path(options.airbench) if options.airbench else None
    setting = Setting(options.dataset, Path(options.work), airbench, options.smoke)
    try:
        for row in measure(setting, *part.arguments):
            row.say()
    except NotHere as missing:
        print(json.dumps({"skipped": str(missing)}))
    return 0


def _write(path: str | None, outcomes: list[Outcome]) -> None:
    if path is None:
        return
    text = json.dumps({"command": sys.argv, "parts": [asdict(o) for o in outcomes]}, indent=1)
    beside = Path(f"{path}.part")
    beside.write_text(text, encoding="utf-8")
    beside.replace(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--dataset", required=True, help="CIFAR-10, as a folder of images or a name"
    )
    parser.add_argument(
        "--airbench", help="folder with the scripts of cifar10-airbench [left out]"
    )
    parser.add_argument("--out", help="JSON file for everything that was measured")
    parser.add_argument("--budget", type=float, default=540, help="seconds for all parts [540]")
    parser.add_argument("--parts", nargs="+", choices=[p.name for p in PARTS], help="only these")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--part", choices=[p.name for p in PARTS], help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in ("dataset", "airbench"):
        given = getattr(options, name)
        if given and Path(given).exists():
            # The parts run in the project's folder, and the scripts in one of their own.
            setattr(options, name, str(Path(given).resolve()))
    return options


if __name__ == "__main__":
    raise SystemExit(main())
