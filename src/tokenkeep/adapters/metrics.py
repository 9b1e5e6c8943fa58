"""Numbers for Prometheus.

Owns: the metrics, their names and their labels, of which every one takes few values: no ids, no paths.
Does not own: when something is counted (`journal`, `web/app`, the status tick).
"""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

from tokenkeep.services.ports import Clock

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_REFRESH_BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """A registry of its own, so that two services in one process do not meet."""

    def __init__(self, clock: Clock, *, version: str) -> None:
        self._clock = clock
        self.registry = CollectorRegistry()
        self._requests = self._counter("http_requests", "Answered requests.", "route", "status")
        self._reads = self._counter("token_reads", "Token reads by outcome.", "outcome")
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
        self._swept_at = self._gauge("sweep_last_run_timestamp_seconds", "When the last sweep ended.")
        self._gauge("build_info", "Which version this is.", "version").labels(version).set(1)
        self._request_children: dict[tuple[str, int], Counter] = {}
        self._read_children: dict[str, Counter] = {}

    def request(self, route: str, status: int) -> None:
        """Count one answered request. `route` is the pattern from the route table; empty: none matched."""
        child = self._request_children.get((route, status))
        if child is None:
            child = self._requests.labels(route or "none", str(status))
            self._request_children[route, status] = child
        child.inc()

    def token_read(self, outcome: str) -> None:
        """Count one read by a node."""
        child = self._read_children.get(outcome)
        if child is None:
            child = self._read_children[outcome] = self._reads.labels(outcome)
        child.inc()

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

    def render(self) -> bytes:
        """Everything, in Prometheus' text format (`CONTENT_TYPE`)."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"tokenkeep_{name}", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"tokenkeep_{name}", about, labels, registry=self.registry)
