"""Counts every request, and writes one log line for it."""

import logging
import os
import time

from flask import Flask, Response, g, request

from serve.web.figures import Figures

_LOG = logging.getLogger("serve.requests")


def observe(app: Flask, figures: Figures) -> None:
    """Count and log every request of an app."""

    @app.before_request
    def begin() -> None:
        g.began, g.id = time.perf_counter(), os.urandom(6).hex()

    @app.after_request
    def end(response: Response) -> Response:
        seconds = time.perf_counter() - g.began
        figures.request(request.endpoint, response.status_code, seconds)
        response.headers["X-Request-ID"] = g.id
        # What people sent stays out of the log: names of files are theirs, and paths can be long.
        _LOG.info(
            "%s %s %s %d %.1f ms %s", g.id, request.remote_addr, request.method,
            response.status_code, 1000 * seconds, request.endpoint,
        )  # fmt: skip
        return response
