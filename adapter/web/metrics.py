"""Counts and times of requests, for Prometheus; the labels can only take values that we declare."""

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BOUNDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Times:
    """One route's histogram: how many answers fell into each bucket, the last one being without bound."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0


class Metrics(Collector):
    """One registry a process. `route` is a template, never a path; a method nobody knows counts as `OTHER`.

    Counting is plain arithmetic in the event loop, whose thread is the only one that counts; the library's own counters
    take a lock each, which would be a tenth of what a raw request costs.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._times: dict[str, _Times] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (route, method if method in _METHODS else "OTHER", status // 100)
        self._counts[key] = self._counts.get(key, 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = _Times()
        times.buckets[bisect_left(_BOUNDS, seconds)] += 1
        times.total += seconds

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        requests = CounterMetricFamily(
            "adapter_http_requests", "Requests answered.", labels=("route", "method", "status")
        )
        for (route, method, family), count in self._counts.items():
            requests.add_metric((route, method, f"{family}xx"), count)
        yield requests
        seconds = HistogramMetricFamily(
            "adapter_http_request_seconds", "Time to the end of the answer.", labels=("route",)
        )
        for route, times in self._times.items():
            seconds.add_metric((route,), buckets=_cumulative(times.buckets), sum_value=times.total)
        yield seconds

    def page(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)


def _cumulative(buckets: list[int]) -> list[tuple[str, float]]:
    shown: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*map(str, _BOUNDS), "+Inf"), buckets, strict=True):
        so_far += count
        shown.append((bound, so_far))
    return shown
