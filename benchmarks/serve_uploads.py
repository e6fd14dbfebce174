"""2,000 damaged and hostile uploads to a real service, while others use it.

    python -m benchmarks.serve_uploads runs/x/best [--count 2000] [--seed 0]

The uploads are those of `tests/serve/mutations.py`, sent by four clients without a pause.
Meanwhile another one asks about a good picture ten times a second; its latency is compared with
what it was before. Large uploads cost a core what they cost; that nobody has to wait behind them
is what is looked at.
"""

import argparse
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.measure import head
from benchmarks.serve_client import Load, press, upload
from benchmarks.serve_load import jpeg, serving
from tests.serve.mutations import mutated

Answers = Counter[tuple[str, int]]


def main() -> None:
    """Send them, and print what came back."""
    options = _options()
    print(head())
    with serving("serve", options.best) as (process, address):
        end = time.perf_counter() + 6.0
        quiet = _ask(address, until=lambda: time.perf_counter() > end)
        answers: Answers = Counter()
        sending = threading.Thread(target=_send_all, args=(address, options, answers))
        sending.start()
        busy = _ask(address, until=lambda: not sending.is_alive())
        _report(answers)
        print(f"a good picture, before:    {quiet.describe()}")
        print(f"a good picture, meanwhile: {busy.describe()}")
        print(f"processes that answer: {len(process.children())}")


def _send_all(address: tuple[str, int], options: argparse.Namespace, answers: Answers) -> None:
    with ThreadPoolExecutor(4) as pool:
        uploads = mutated(options.count, options.seed)
        for what, status in pool.map(lambda one: _send(address, *one), uploads):
            answers[what, status] += 1


def _send(address: tuple[str, int], what: str, body: bytes, kind: str) -> tuple[str, int]:
    """The status; 0 for no answer."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    try:
        connection.request("POST", "/api/predict", body, {"Content-Type": kind})
        response = connection.getresponse()
        response.read()
        return what, response.status
    except (OSError, http.client.HTTPException):
        return what, 0
    finally:
        connection.close()


def _ask(address: tuple[str, int], until: Callable[[], bool]) -> Load:
    good, load = upload(jpeg(np.full((64, 64, 3), 99, np.uint8)), "/api/predict"), Load()
    press(address, [good], 4, 1.0)  # To get warm.
    while not until():
        press(address, [good], 1, 0, load)
        time.sleep(0.1)
    return load


def _report(answers: Answers) -> None:
    statuses = sorted({status for _, status in answers})
    print(f"{'':12}" + "".join(f"{status:7}" for status in statuses))
    for kind in sorted({what for what, _ in answers}):
        print(f"{kind:12}" + "".join(f"{answers[kind, status]:7}" for status in statuses))
    good = sum(n for (_, status), n in answers.items() if status == 200 or 400 <= status < 500)
    print(f"{good} of {answers.total()} got 200 or a 4xx")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path, help="an exported folder")
    parser.add_argument("--count", type=int, default=2000, help="uploads [2000]")
    parser.add_argument("--seed", type=int, default=0, help="of what they are [0]")
    return parser.parse_args()


if __name__ == "__main__":
    main()
