"""Prometheus' text format. The only importer of prometheus-client."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from pipeline.app import metrics, readings
from pipeline.app.metrics import METRICS, Metric
from pipeline.app.observations import Durations, Observations
from pipeline.app.readings import Labels, Observed, Reading, Value

_FAMILIES: Final[Mapping[str, Callable[..., CounterMetricFamily | GaugeMetricFamily]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
}


class Exposition(Collector):
    """The metrics of this process, read anew for each scrape, in a registry of their own."""

    def __init__(self, service: str) -> None:
        """Have nothing but the process itself to tell of, until ``started``."""
        self._service = service
        self._process: Observed | None = None
        self._seen: list[tuple[str, Observations]] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, stage: str, stream: str) -> Observations:  # noqa: ARG002 - its messages name their streams
        """The observer of a stage."""
        seen = Observations()
        self._seen.append((stage, seen))
        return seen

    def started(self, process: Observed) -> None:
        """From now on there is a process to read."""
        self._process = process

    def page(self, accept: str) -> tuple[bytes, str]:
        """What is exposed now, and its content type: the one that an Accept header asks for, if we have it."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # prometheus-client stumbles over a version that is none
            encode, content_type = choose_encoder("")
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Family]:
        """Each metric that has a value, in the order of ``METRICS``."""
        found = readings.grouped(self._readings())
        yield from (_family(metric, found[metric]) for metric in METRICS if metric in found)

    def describe(self) -> Iterable[Family]:
        """Nothing, so that nothing is read before somebody asks."""
        return ()

    def _readings(self) -> Iterator[Reading]:
        name = self._process.identity.process if self._process else ""
        yield Reading(metrics.BUILD, (version("tandem-inference"), self._service, name), 1)
        if self._process:
            yield from readings.of_process(self._process)
        yield from itertools.chain.from_iterable(readings.of_stage(*seen) for seen in list(self._seen))


def _family(metric: Metric, values: Mapping[Labels, Value]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in values.items():
            assert isinstance(value, Durations)  # noqa: S101 - what histograms are made of
            histogram.add_metric(labels, value.buckets(), value.sum_s)
        return histogram
    family = _FAMILIES[metric.kind](metric.name, metric.help, labels=metric.labels)
    for labels, value in values.items():
        assert not isinstance(value, Durations)  # noqa: S101
        family.add_metric(labels, value)
    return family
