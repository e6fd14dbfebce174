"""The web service under load, against the handler that most people write.

    python -m benchmarks.serve_load runs/x/best [--pictures FOLDER] [--seconds 60] [--short 8]

Requests with one picture each, over 1, 8 and 64 connections, each with one request at a time; the
client runs on the same machine and takes its share of the cores from everybody alike. `serve`
gets `--seconds` with 64 connections and `--short` otherwise. Memory is read before, halfway and
after. The peers answer one picture at a time with PyTorch: on Flask's own server with threads as
PyTorch sets them, and on waitress with 16 threads and one thread per forward pass.
"""

import argparse
import logging
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.measure import head, noise, spread
from benchmarks.serve_client import Load, press, upload

_CLIENTS = (1, 8, 64)
_SELF = ["-m", "benchmarks.serve_load"]
_COMMANDS = {
    "serve": (["-m", "serve.run", "--port", "0", "--model"], "/api/predict"),
    "Flask + PyTorch": ([*_SELF, "--peer", "flask"], "/predict"),
    "waitress + PyTorch": ([*_SELF, "--peer", "waitress"], "/predict"),
}


def main() -> None:
    """Load one after the other, and print what came of it."""
    options = _options()
    if options.peer:
        _serve_peer(options.best, options.peer)
        return
    pictures = _pictures(options.pictures)
    print(f"{head()}\npictures: {len(pictures)} of {options.pictures or 'noise'}, JPEG")
    print(f"start of serve until it answers: {_starts(options.best)}")
    speeds: dict[tuple[str, int], float] = {}
    for name in options.only:
        for clients in _CLIENTS:
            seconds = options.seconds if (name, clients) == ("serve", 64) else options.short
            with serving(name, options.best) as (process, address):
                requests = [upload(picture, _COMMANDS[name][1]) for picture in pictures]
                load, memory = _measured(address, requests, clients, seconds, process)
            speeds[name, clients] = load.per_second
            what = f"{name:19}{clients:3} clients {load.per_second:7,.0f} requests/s"
            print(f"{what}   {load.describe()}, memory {memory} MiB", flush=True)
    for name in options.only[1:]:
        ratios = [speeds["serve", n] / speeds[name, n] for n in _CLIENTS]
        print(f"serve / {name}: " + ", ".join(f"{r:.1f}" for r in ratios) + " (1, 8, 64 clients)")


def _measured(
    address: tuple[str, int],
    requests: list[bytes],
    clients: int,
    seconds: float,
    process: psutil.Process,
) -> tuple[Load, str]:
    press(address, requests, clients, 1.0)  # To get warm.
    load, memory = Load(), [_mebibytes(process)]
    for _ in range(2):
        press(address, requests, clients, seconds / 2, load)
        memory.append(_mebibytes(process))
    return load, " ".join(f"{m:.0f}" for m in memory)


@contextmanager
def serving(name: str, best: Path) -> Iterator[tuple[psutil.Process, tuple[str, int]]]:
    """A server that answers, its process and its address."""
    words, _ = _COMMANDS[name]
    command = [sys.executable, *words, str(best)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        try:
            yield psutil.Process(process.pid), ("127.0.0.1", int(found[1]))
        finally:
            process.terminate()


def _serve_peer(best: Path, server: str) -> None:
    """Serve on a port that is free, and print it."""
    import torch
    from flask import Flask, Response, jsonify, request
    from torchvision.transforms.functional import pil_to_tensor
    from waitress.server import create_server
    from werkzeug.serving import make_server

    from train_core.model import load_model

    app, model = Flask("peer"), load_model(best / "model.safetensors")
    side = model.image_size

    @app.post("/predict")
    def predict() -> Response:
        image = Image.open(request.files["image"].stream).convert("RGB").resize((side, side))
        pixels = pil_to_tensor(image).permute(1, 2, 0)[None]
        with torch.inference_mode():
            probabilities = model.network(model.normalisation(pixels)).softmax(1)[0]
        found, label = probabilities.max(0)
        return jsonify({"class": model.classes[int(label)], "probability": float(found)})

    if server == "waitress":
        torch.set_num_threads(1)
        careful = create_server(app, host="127.0.0.1", port=0, threads=16)
        print(f"peer on http://127.0.0.1:{careful.effective_port}/ ", flush=True)
        careful.run()
    else:
        # As `flask run` does, but on any port, and without a line per request.
        logging.getLogger("werkzeug").disabled = True
        usual = make_server("127.0.0.1", 0, app, threaded=True)
        print(f"peer on http://127.0.0.1:{usual.server_port}/ ", flush=True)
        usual.serve_forever()


def _starts(best: Path) -> str:
    """Seconds from the command to the first answer, of five."""
    request, times = b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []
    for _ in range(5):
        began = time.perf_counter()
        with serving("serve", best) as (_, address):
            press(address, [request], 1, 0)
            times.append(time.perf_counter() - began)
    return f"{spread(times, '.2f')} s, n = 5"


def _mebibytes(process: psutil.Process) -> float:
    """Of all its processes; what they share counts for each."""
    everybody = [process, *process.children(recursive=True)]
    return float(sum(one.memory_info().rss for one in everybody)) / (1 << 20)


def _pictures(folder: Path | None) -> list[bytes]:
    if folder is not None:
        return [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))[::97][:64]]
    return [jpeg(image) for image in noise(64)[0]]


def jpeg(pixels: np.ndarray) -> bytes:
    """A JPEG file of `(height, width, 3)` uint8."""
    written = BytesIO()
    Image.fromarray(pixels).save(written, "JPEG", quality=95)
    return written.getvalue()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path, help="an exported folder")
    parser.add_argument("--pictures", type=Path, help="folder of JPEG files [noise of 32x32]")
    parser.add_argument("--seconds", type=float, default=60, help="for serve, 64 clients [60]")
    parser.add_argument("--short", type=float, default=8, help="for the others [8]")
    parser.add_argument("--only", nargs="+", choices=_COMMANDS, default=list(_COMMANDS))
    parser.add_argument("--peer", choices=["flask", "waitress"], help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
