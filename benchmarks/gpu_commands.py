"""Parts of `benchmarks.gpu_check` that run the project's own commands, as a user would."""

import json
import re
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.gpu_part import (
    ROOT,
    CommandFailed,
    NotHere,
    Row,
    Setting,
    attempt,
    run_command,
)

_PYTEST = """[pytest]
addopts = --import-mode=importlib
markers =
    gpu: needs a CUDA device
    slow: takes more than ten seconds
"""
"""Instead of the project's own settings, which ask for plugins that may not be there, and make an
error of every warning, also of those that the versions here give and no others."""


def images(setting: Setting) -> Iterator[Row]:
    """Decode all images into the cache that the other parts use."""
    from train_core.data.prepare import prepare

    config, started = _data(setting), time.perf_counter()
    prepared = prepare(config)
    seconds = time.perf_counter() - started
    counts = {"training": prepared.train.count, "test": prepared.test.count}
    yield Row(f"preparing {prepared.name}", "s", (seconds,), counts)


def gpu_tests(setting: Setting) -> Iterator[Row]:
    """The tests that only a GPU can run."""
    for package in ("pytest", "hypothesis"):
        if find_spec(package) is None:
            raise NotHere(f"needs {package}")
    settings, report = setting.work / "pytest.ini", setting.work / "tests.xml"
    settings.write_text(_PYTEST, encoding="utf-8")
    files = [p for p in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in p.read_text("utf-8")]
    flags = ["-m", "gpu", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
    flags += ["-c", str(settings), f"--junitxml={report}", *map(str, files)]
    try:
        run_command(["-m", "pytest", *flags], setting.work / "pytest.log")
    except CommandFailed:
        # Failed tests make it fail, too, and then the report says which.
        if not report.exists():
            raise
    yield from rows_of_tests(report.read_text(encoding="utf-8"))


def rows_of_tests(xml: str) -> Iterator[Row]:
    """From pytest's report: counts, then every test that failed, with the error's first line."""
    cases = list(ET.fromstring(xml).iter("testcase"))
    ended: dict[str, list[ET.Element]] = {"failure": [], "error": [], "skipped": []}
    for case in cases:
        for how, those in ended.items():
            those += [case] if case.find(how) is not None else []
    bad = ended["failure"] + ended["error"]
    counts = {"passed": len(cases) - len(bad) - len(ended["skipped"])}
    yield Row("gpu tests", more=counts | {how: len(those) for how, those in ended.items()})
    for case in bad:
        fault = next(child for child in case if child.tag in ("failure", "error"))
        message = (fault.get("message") or fault.text or "").strip().split("\n")[0]
        yield Row(str(case.get("name")), more={"failed": message[:200]})


def trainings(setting: Setting) -> Iterator[Row]:
    """Whole trainings on all training images, and the test accuracy of each."""
    runs = [("fast", "eager", 0), *(("fast", "cuda_graph", seed) for seed in range(3))]
    runs += [("accurate", "cuda_graph", 0), ("fast", "eager", 1), ("fast", "eager", 2)]
    for recipe, way, seed in [("cpu", "eager", 0)] if setting.smoke else runs:
        yield from attempt(
            f"recipe {recipe}, {way}, seed {seed}", partial(_training, setting, recipe, way, seed)
        )


def _training(setting: Setting, recipe: str, way: str, seed: int) -> list[Row]:
    graph = "true" if way == "cuda_graph" else "false"
    keys = [f"cuda_graph = {graph}", f"seed = {seed}"] + ["epochs = 1"] * setting.smoke
    # Other people's figures are for a training on all images that are not test images.
    lines = [f'recipe = "{recipe}"', *_data_lines(setting), "train_on_validation = true"]
    file = setting.work / f"{recipe}-{way}-{seed}.toml"
    file.write_text("\n".join([*lines, "[training]", *keys]) + "\n", encoding="utf-8")
    command = ["-m", "train_core.run", str(file), "--test"]
    done = run_command(command, setting.work / "training.log")
    seconds, accuracy = training_figures(done.text)
    what, more = f"recipe {recipe}, {way}", {"command, s": done.seconds}
    return [
        Row(what, "s of training", (seconds,), more), Row(what, "% test accuracy", (accuracy,))
    ]  # fmt: skip


def training_figures(text: str) -> tuple[float, float]:
    """Seconds of training and test accuracy in percent, from what `train_core.run` prints."""
    found = re.search(r"(\d+) training images", text), re.search(r"batch (\d+)", text)
    count, batch = (int(match[1]) for match in found if match is not None)
    seen = max(1, count // batch) * batch
    # The seconds that it prints are rounded to tenths, about as long as an epoch is on a GPU.
    speeds = re.findall(r"([\d,]+) images/s", text)
    seconds = sum(seen / float(speed.replace(",", "")) for speed in speeds)
    accuracy = re.search(r"test accuracy ([\d.]+)%", text)
    return seconds, float(accuracy[1]) if accuracy else float("nan")


def searched(setting: Setting, *training: str) -> Iterator[Row]:
    """A search of 20 trials, with confirmations, final training, test and export."""
    if find_spec("optuna") is None:
        raise NotHere("needs optuna")
    keys = ["epochs = 1"] * setting.smoke + list(training)
    confirm = ["[confirm]", "top = 1", "seeds = 1"] if setting.smoke else []
    file = setting.work / "search.toml"
    lines = [*_data_lines(setting), "[training]", *keys, *confirm]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    trials, recipe = ("3", "cpu") if setting.smoke else ("20", "fast")
    runs = setting.work / f"runs-{len(training)}"
    command = ["-m", "search.run", "--config", str(file), "--trials", trials, "--recipe", recipe]
    done = run_command(
        [*command, "--runs", str(runs), "--study", "check"], runs.with_suffix(".log")
    )
    metrics = json.loads((runs / "check" / "best" / "metrics.json").read_text(encoding="utf-8"))
    what = ", ".join([f"search of {trials} trials, recipe {recipe}", *training])
    yield Row(what, "s", (done.seconds,), search_figures(metrics))
    for line in _estimates(done.text):
        yield Row(line)


def search_figures(metrics: dict[str, Any]) -> dict[str, float | str]:
    """What matters of `best/metrics.json`."""
    search, test = metrics["search"], metrics["test"]
    return {
        "complete": search["complete"],
        "pruned": search["pruned"],
        "% in the search": 100 * metrics["validation"]["accuracy"],
        "% confirmed": 100 * metrics["confirmed"]["mean"],
        "% test": 100 * test["accuracy"],
        "% test, mirrored too": 100 * metrics.get("test_tta", test)["accuracy"],
    }


def _estimates(text: str) -> list[str]:
    """What the search said about its device and its time."""
    return [line for line in text.splitlines() if line.startswith(("device", "time"))]


def _data(setting: Setting) -> Any:
    from train_core.data.config import DataConfig

    return DataConfig(dataset=setting.dataset, root=str(setting.work / "data"))


def _data_lines(setting: Setting) -> list[str]:
    """The `[data]` table; a JSON text is a TOML text, too."""
    lines = [f"dataset = {json.dumps(setting.dataset)}"]
    lines += [f"root = {json.dumps(str(setting.work / 'data'))}"]
    return ["[data]", *lines, *["train_size = 200"] * setting.smoke]
