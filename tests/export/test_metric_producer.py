from __future__ import annotations

from tracer.analysis.metrics.instruments import DROPPED, RECORDED
from tracer.export import messages
from tracer.export.metric_producer import MetricProducer
from tracer.model.frames import TIMELINE
from tracer.settings.metrics import MetricSettings


class Exports:
    """Keeps what it is to export."""

    def __init__(self):
        self.offered = []

    def export(self, data):
        self.offered.append(data)

    def values(self, instrument):
        (resource,) = self.offered[-1].resource_metrics
        return [
            point.value
            for metric in resource.scope_metrics[0].metrics
            if metric.name == instrument.name
            for point in metric.data.data_points
        ]


def test_a_timeline_that_cannot_be_read_is_counted_and_the_next_is_not_held_up():
    exports = Exports()
    meter = MetricProducer(MetricSettings(("otlp",)), exports, exemplars=True)
    meter.take(messages.Message(TIMELINE, 1, b"nonsense"))
    meter.take(messages.counts(1, {"seen": 7, "dropped": 2}))
    meter.take(messages.counts(0, {"shed": 3}))
    assert 0 < meter.tick() <= 60
    meter.close()
    assert exports.values(DROPPED) == [1 + 2 + 3]
    assert exports.values(RECORDED) == []


def test_where_nothing_was_seen_nothing_is_told():
    exports = Exports()
    MetricProducer(MetricSettings(("otlp",)), exports, exemplars=True).close()
    assert exports.offered == []
