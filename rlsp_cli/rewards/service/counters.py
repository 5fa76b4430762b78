"""What the service counts, in Prometheus' format."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from rlsp_cli.rewards.sample import SampleScore
from rlsp_cli.rewards.service.gather import Gatherer


class Counters:
    """Counters in a registry of their own, so that several services fit into one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.outcomes = Counter(
            "rlsp_outcomes",
            "How components ended",
            ["component", "outcome"],
            registry=self.registry,
        )
        self.batches = Gauge(
            "rlsp_batches", "Batches handed to the scoring processes", registry=self.registry
        )
        self.busy = Counter(
            "rlsp_busy", "Requests refused because too many samples waited", registry=self.registry
        )
        self.in_work = Gauge(
            "rlsp_samples_in_work", "Samples that are being scored", registry=self.registry
        )
        self.incomplete = Gauge(
            "rlsp_groups_incomplete",
            "Groups scored before all their samples came",
            registry=self.registry,
        )
        self.seconds = Histogram(
            "rlsp_request_seconds", "Time to score a request", registry=self.registry
        )

    def count(self, score: SampleScore) -> None:
        """Count how each component of a sample ended."""
        for part in score.components:
            self.outcomes.labels(part.component, part.outcome).inc()

    def page(self, gatherer: Gatherer) -> bytes:
        """All counters, with the state of the gatherer, as Prometheus reads them."""
        self.in_work.set(gatherer.in_work)
        self.incomplete.set(gatherer.incomplete)
        self.batches.set(gatherer.batches)
        return generate_latest(self.registry)
