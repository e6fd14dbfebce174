"""Figures for Prometheus, summed over the processes of the service.

prometheus_client's own way over several processes is files; here nothing may be written. So all
figures lie in memory that the processes share: each adds in a row of its own, and whoever is
asked sums the rows.
"""

import mmap
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

ENDPOINTS = (
    "api.predict", "api.similar", "api.picture", "api.model", "api.healthz", "api.readyz",
    "api.metrics", "api.openapi", "page", "static", "none",
)  # fmt: skip
STATUSES = (200, 206, 304, 400, 401, 403, 404, 405, 413, 415, 416, 422, 500, 503)

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class _Histogram:
    """Where one lies in a row: a place per bucket, one beyond all of them, the sum."""

    def __init__(self, start: int, bounds: Sequence[float]) -> None:
        self.start, self.bounds = start, bounds
        self.end = start + len(bounds) + 2

    def place(self, value: float) -> int:
        return self.start + bisect_left(self.bounds, value)

    def buckets(self, row: Sequence[float]) -> tuple[list[tuple[str, float]], float]:
        """As Prometheus has them, each with all below it; and the sum."""
        found, below = [], 0.0
        places = range(self.start, self.end - 1)
        for bound, place in zip([*map(str, self.bounds), "+Inf"], places, strict=True):
            below += row[place]
            found.append((bound, below))
        return found, row[self.end - 1]


_REQUESTS = {pair: i for i, pair in enumerate((e, s) for e in ENDPOINTS for s in STATUSES)}
_IMAGES, _WAITING = len(_REQUESTS), len(_REQUESTS) + 1
_BATCHES = _Histogram(_WAITING + 1, _SIZES)
_TIMES = {
    endpoint: _Histogram(_BATCHES.end + i * (len(_SECONDS) + 2), _SECONDS)
    for i, endpoint in enumerate(ENDPOINTS)
}
_PLACES = _TIMES[ENDPOINTS[-1]].end


class Figures(Collector):
    """What is counted. Made before the processes are; each has to `join` with its number."""

    def __init__(self, processes: int = 1) -> None:
        """Start at zero, in the first process."""
        self._all = memoryview(mmap.mmap(-1, 8 * _PLACES * processes)).cast("d")
        self._adding = threading.Lock()
        self.join(0)

    def join(self, process: int) -> None:
        """Add in the row of this process from now on; what waited there is gone."""
        self._start = process * _PLACES
        self._all[self._start + _WAITING] = 0

    def request(self, endpoint: str | None, status: int, seconds: float) -> None:
        """Count a request."""
        name = endpoint if endpoint in _TIMES else "none"
        assert name is not None
        times = _TIMES[name]
        with self._adding:
            if (name, status) in _REQUESTS:
                self._add(_REQUESTS[name, status], 1)
            self._add(times.place(seconds), 1)
            self._add(times.end - 1, seconds)

    def images(self, count: int) -> None:
        """Count pictures that were answered."""
        with self._adding:
            self._add(_IMAGES, count)

    def batch(self, size: int) -> None:
        """Count a run of the network."""
        with self._adding:
            self._add(_BATCHES.place(size), 1)
            self._add(_BATCHES.end - 1, size)

    def waiting(self, count: int) -> None:
        """Note how many pictures wait for the network in this process."""
        self._all[self._start + _WAITING] = count

    def text(self) -> bytes:
        """In Prometheus' format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)

    def collect(self) -> Iterable[Metric]:
        """The sums, as prometheus_client wants them."""
        row = [sum(self._all[place::_PLACES]) for place in range(_PLACES)]
        yield CounterMetricFamily("convsearch_images", "Pictures answered", value=row[_IMAGES])
        yield GaugeMetricFamily("convsearch_waiting_images", "Pictures waiting", row[_WAITING])
        yield HistogramMetricFamily(
            "convsearch_batch_images", "Pictures per run of the network", *_BATCHES.buckets(row)
        )
        yield from self._of_requests(row)

    def _of_requests(self, row: Sequence[float]) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "convsearch_requests", "Requests answered", labels=["endpoint", "status"]
        )
        for (endpoint, status), place in _REQUESTS.items():
            if row[place]:
                requests.add_metric([endpoint, str(status)], row[place])
        yield requests
        seconds = HistogramMetricFamily(
            "convsearch_request_seconds", "Time of a request after it was received",
            labels=["endpoint"],
        )  # fmt: skip
        for endpoint, times in _TIMES.items():
            buckets, total = times.buckets(row)
            if buckets[-1][1]:
                seconds.add_metric([endpoint], buckets, total)
        yield seconds

    def _add(self, place: int, value: float) -> None:
        self._all[self._start + place] += value
