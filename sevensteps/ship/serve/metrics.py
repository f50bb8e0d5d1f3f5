"""Counts and times in Prometheus' text format."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ..answer import Answer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """What the server counts.

    Args:
        waiting: Returns how many pictures wait.
        memory: Returns how many bytes requests have.
    """

    def __init__(self, waiting: Callable[[], float], memory: Callable[[], float]) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "sevensteps_requests", "Requests that were answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "sevensteps_request_seconds",
            "Time from the headers of a request to its answer.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._answers = Counter(
            "sevensteps_answers",
            'Pictures by their nearest class, and by the reason for no answer: "", "not sure", "none of these".',
            ("class", "reason"),
            registry=registry,
        )
        self._unreadable = Counter("sevensteps_unreadable", "Pictures that could not be read.", registry=registry)
        self.batches = Histogram(
            "sevensteps_batch_pictures",
            "Pictures that were classified together.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=registry,
        )
        for name, about, function in (
            ("sevensteps_waiting_pictures", "Pictures that wait for their answers.", waiting),
            ("sevensteps_request_bytes", "Bytes of requests that are being answered.", memory),
        ):
            Gauge(name, about, registry=registry).set_function(function)
        # Looking up a counter by its labels takes longer than counting.
        self._of_request = functools.cache(
            lambda route, status: (self._requests.labels(route, str(status)), self._seconds.labels(route))
        )
        self._of_answer = functools.cache(self._answers.labels)

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            route: Its route, from a fixed list.
            status: That it was answered with.
            seconds: That it took.
        """
        count, duration = self._of_request(route, status)
        count.inc()
        duration.observe(seconds)

    def answers(self, answers: Iterable[Answer]) -> None:
        """Count answers.

        Args:
            answers: Of one request.
        """
        for answer in answers:
            if answer.probabilities is None:
                self._unreadable.inc()
            else:
                self._of_answer(answer.best, answer.reason or "").inc()

    def text(self) -> bytes:
        """Return everything as Prometheus reads it."""
        return generate_latest(self._registry)
