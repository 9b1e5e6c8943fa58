"""Numbers for Prometheus.

Owns: the metrics, their names and their labels, of which every one takes few values: no ids, no paths.
Does not own: when something is counted (`journal`, `web/app`, the status tick).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from tokenkeep.services.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REFRESH_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _Requests(Collector):
    """Answered requests. A plain dictionary: the library's counters take a lock, which costs every request a microsecond.

    Counted on the event loop only, as they are collected.
    """

    def __init__(self) -> None:
        self.counts: defaultdict[tuple[str, int], int] = defaultdict(int)

    def collect(self) -> Iterable[CounterMetricFamily]:
        """For the registry."""
        family = CounterMetricFamily("tokenkeep_http_requests", "Answered requests.", labels=("route", "status"))
        for (route, status), count in self.counts.items():
            family.add_metric((route or "none", str(status)), count)
        yield family


class Metrics:
    """A registry of its own, so that two services in one process do not meet."""

    def __init__(self, clock: Clock, *, version: str) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        self._requests = _Requests()
        self.registry.register(self._requests)
        self._refreshes = self._counter("refreshes", "Refreshes by outcome.", "provider", "outcome")
        self._events = self._counter("events", "Everything recorded in the journal.", "action")
        self._refresh_s = Histogram(
            "tokenkeep_refresh_duration_seconds",
            "How long the provider took.",
            ["provider"],
            buckets=_REFRESH_BUCKETS,
            registry=self.registry,
        )
        self._grants = self._gauge("grants", "Grants by state.", "state")
        self._overdue = self._gauge("grants_overdue", "Grants due for more than a minute.")
        self._paused = self._gauge("refreshing_paused", "1 while no refresh starts, by cause.", "cause")
        self._free = self._gauge("storage_free_bytes", "Room left on the disk that answers are kept on.")
        self._swept_at = self._gauge("sweep_last_run_timestamp_seconds", "When the last sweep ended.")
        self._gauge("build_info", "Which version this is.", "version").labels(version).set(1)

    def request(self, route: str, status: int) -> None:
        """Count one answered request. `route` is the pattern from the route table; empty: none matched."""
        self._requests.counts[route, status] += 1

    def answered(self) -> int:
        """How many requests this process has answered so far."""
        return sum(self._requests.counts.values())

    def refresh(self, provider: str, outcome: str, *, duration_s: float | None = None) -> None:
        """Count one refresh; no duration where the provider was not asked."""
        self._refreshes.labels(provider, outcome).inc()
        if duration_s is not None:
            self._refresh_s.labels(provider).observe(duration_s)

    def event(self, action: str) -> None:
        """Count one line of the journal."""
        self._events.labels(action).inc()

    def swept(self) -> None:
        """A sweep has ended now."""
        self._swept_at.set(self._clock.now().timestamp())

    def grants(self, by_state: Mapping[str, int], *, overdue: int) -> None:
        """What the status tick counted. States that have gone are zero, not stale."""
        self._grants.clear()
        for state, count in by_state.items():
            self._grants.labels(state).set(count)
        self._overdue.set(overdue)

    def paused(self, cause: str, *, now: bool) -> None:
        """Refreshing is, or is no longer, kept from starting by that cause."""
        self._paused.labels(cause).set(now)

    def free(self, octets: int) -> None:
        """What was left on the disk at the last look."""
        self._free.set(octets)

    def render(self) -> bytes:
        """Everything, in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"tokenkeep_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"tokenkeep_{name}", about, labels, registry=self.registry)
