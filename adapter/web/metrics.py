"""Counts and times of requests, for Prometheus; the labels can only take values that we declare."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One registry a process. `route` is a template, never a path; a method nobody knows counts as `OTHER`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "adapter_http_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "adapter_http_request_seconds", "Time to the end of the answer.", ("route",), registry=self.registry,
            buckets=_BUCKETS,
        )  # fmt: skip
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer. Children are kept at hand: looking one up by labels costs more than counting."""
        key = (route, method, status // 100)
        pair = self._known.get(key)
        if pair is None:
            shown = method if method in _METHODS else "OTHER"
            pair = (self._requests.labels(route, shown, f"{key[2]}xx"), self._seconds.labels(route))
            if shown == method:
                self._known[key] = pair
        pair[0].inc()
        pair[1].observe(seconds)

    def page(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self.registry)
