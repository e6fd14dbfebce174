"""What Prometheus can ask for at `/metrics`, summed over the processes of the service."""

import os

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)


class Counters:
    """What one application counts.

    Attributes:
        requests: Requests answered, by endpoint and status.
        seconds: Time of a request after it was received, by endpoint.
        images: Pictures answered.
        batches: Pictures per run of the network.
        waiting: Pictures that wait for the network.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "convsearch_requests", "Requests answered", ["endpoint", "status"], registry=registry
        )
        self.seconds = Histogram(
            "convsearch_request_seconds", "Time of a request after it was received", ["endpoint"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.images = Counter("convsearch_images", "Pictures answered", registry=registry)
        self.batches = Histogram(
            "convsearch_batch_images", "Pictures per run of the network", buckets=_SIZES,
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "convsearch_waiting_images", "Pictures waiting", registry=registry,
            multiprocess_mode="livesum",
        )  # fmt: skip

    def text(self) -> bytes:
        """In Prometheus' format."""
        registry = self._registry
        # Where processes count together, prometheus_client keeps what each counts in a folder.
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)
