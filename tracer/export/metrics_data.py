"""Our series as the SDK's `MetricsData`: cumulative, histograms exponential."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final, cast

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Buckets as SdkBuckets
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from tracer.analysis.statistics.exponential import SCALE, Exponential
from tracer.export.resources import scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tracer.analysis.metrics.durations import Example
    from tracer.analysis.metrics.instruments import Instrument, Series

_SECOND: Final = 1_000_000_000
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE
_NONE: Final = SdkBuckets(0, [])
_UNKNOWN: Final = cast("float", None)
"""Smallest and largest are left out: buckets don't know them."""


def make_resource() -> Resource:
    """Return who the figures are of: all workers of one agent, told apart from other agents'."""
    return Resource({SERVICE_INSTANCE_ID: str(uuid.uuid4())}).merge(Resource.create())


def metrics_data(
    found: Mapping[Instrument, Sequence[Series]], resource: Resource, start_ns: int, now_ns: int
) -> MetricsData:
    """Return everything as of unix time `now_ns`, counted since `start_ns`."""
    metrics = [
        Metric(
            one.name,
            one.description,
            one.unit,
            _spread(series, start_ns, now_ns) if one.spreads else _sum(series, start_ns, now_ns),
        )
        for one, series in found.items()
        if series
    ]
    inner = ScopeMetrics(scope(), metrics, "")
    return MetricsData([ResourceMetrics(resource, [inner], resource.schema_url)])


def _spread(several: Sequence[Series], start_ns: int, now_ns: int) -> ExponentialHistogram:
    points = []
    for one in several:
        value = one.value
        if not isinstance(value, Exponential):
            raise TypeError
        points.append(
            ExponentialHistogramDataPoint(
                attributes=dict(one.labels),
                start_time_unix_nano=start_ns,
                time_unix_nano=now_ns,
                count=value.count,
                sum=value.total,
                scale=SCALE,
                zero_count=value.zeros,
                positive=SdkBuckets(value.offset, value.counts),
                negative=_NONE,
                flags=0,
                min=_UNKNOWN,
                max=_UNKNOWN,
                exemplars=[_exemplar(example) for example in one.examples],
            )
        )
    return ExponentialHistogram(points, _CUMULATIVE)


def _sum(several: Sequence[Series], start_ns: int, now_ns: int) -> Sum:
    points: Any = [
        NumberDataPoint(dict(one.labels), start_ns, now_ns, cast("float", one.value))
        for one in several
    ]
    return Sum(points, _CUMULATIVE, is_monotonic=True)


def _exemplar(one: Example) -> Exemplar:
    value = one.value_ns / _SECOND
    return Exemplar({}, value, one.unix_ns, one.span_id, one.trace_id)
