"""The handler that most people write: Flask, PyTorch, one picture at a time.

python -m benchmarks.serve_peer BEST [--waitress]

Flask's own server, threads as PyTorch sets them; with `--waitress`, what the careful do: waitress
with 16 threads, and one thread per forward pass.
"""

import argparse
from pathlib import Path

import torch
from flask import Flask, Response, jsonify, request
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor
from waitress.server import create_server
from werkzeug.serving import WSGIRequestHandler, make_server

from train_core.model import TrainedModel, load_model

THREADS = 16


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def peer(model: TrainedModel) -> Flask:
    """The app."""
    app = Flask("peer")
    side = model.image_size

    @app.post("/predict")
    def predict() -> Response:
        image = Image.open(request.files["image"].stream).convert("RGB").resize((side, side))
        pixels = pil_to_tensor(image).permute(1, 2, 0)[None]
        with torch.inference_mode():
            shown = model.normalisation(pixels)
            probabilities = model.network(shown).softmax(1)[0]
        best, label = probabilities.max(0)
        return jsonify({"class": model.classes[int(label)], "probability": float(best)})

    return app


def main() -> None:
    """Serve on a port that is free, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("best", type=Path)
    parser.add_argument("--waitress", action="store_true")
    options = parser.parse_args()
    app = peer(load_model(options.best / "model.safetensors"))
    if options.waitress:
        torch.set_num_threads(1)
        server = create_server(app, host="127.0.0.1", port=0, threads=THREADS)
        print(f"peer on http://127.0.0.1:{server.effective_port}/ ", flush=True)
        server.run()
    else:
        # As `flask run` does, but on any port; without the line that it prints per request.
        server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
        print(f"peer on http://127.0.0.1:{server.server_port}/ ", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
