from __future__ import annotations

from tracer.analysis.metrics.instruments import DROPPED, RECORDED
from tracer.export import messages
from tracer.export.metric_producer import MetricProducer
from tracer.settings.metrics import MetricSettings


class Exports:
    """Keeps what it is to export."""

    def __init__(self):
        self.exported = []

    def export(self, data):
        self.exported.append(data)

    def values(self, instrument):
        (resource,) = self.exported[-1].resource_metrics
        return [
            point.value
            for metric in resource.scope_metrics[0].metrics
            if metric.name == instrument.name
            for point in metric.data.data_points
        ]


def test_what_is_in_no_figure_is_counted_as_dropped():
    exports = Exports()
    metrics = MetricProducer(MetricSettings(("otlp",)), exports, exemplars=True)
    metrics.refused += 1
    metrics.count(messages.counts(1, {"seen": 7, "dropped": 2}))
    metrics.count(messages.counts(0, {"shed": 3}))
    metrics.export_due()
    assert not exports.exported
    assert 0 < metrics.due_in_s <= 60
    metrics.export()
    assert exports.values(DROPPED) == [1 + 2 + 3]
    assert exports.values(RECORDED) == []


def test_where_nothing_was_seen_nothing_is_told():
    exports = Exports()
    MetricProducer(MetricSettings(("otlp",)), exports, exemplars=True).export()
    assert exports.exported == []
