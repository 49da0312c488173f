"""Exporters of traces: OTLP by http/protobuf as we encode it, any other by `ReadableSpan`s."""

from __future__ import annotations

import io
import logging
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.sdk.trace.export import SpanExportResult

from tracer.export.readable_spans import readable_spans
from tracer.export.trace_part import TracePart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.export.span_limits import Limits

HTTP: Final = "otlp_proto_http"
_GROUP: Final = "opentelemetry_traces_exporter"
_PROBE: Final = b"\x0a\x00"
_NOWHERE: Final = "http://127.0.0.1:9/v1/traces"

_logger = logging.getLogger(__name__)


class TraceExporter(Protocol):
    """Encodes traces and exports them; `export` says whether they arrived."""

    def encode(self, batch: SpanBatch, most: int) -> Sequence[Sequence[TracePart]]:
        """Return each trace in parts of at most so many spans."""

    def export(self, parts: Sequence[TracePart]) -> bool:
        """Export a batch; this may take as long as the SDK's exporter retries."""

    def shutdown(self) -> None:
        """Stop retrying and let go."""


class ReadableSpanExporter:
    """Any exporter of the SDK's or of others, as it is meant to be used."""

    def __init__(self, exporter: Any, limits: Limits) -> None:
        """Export through `exporter`."""
        self._exporter, self._limits = exporter, limits

    def encode(self, batch: SpanBatch, most: int) -> list[list[TracePart]]:
        """Return each trace in parts of at most so many spans."""
        found = []
        for trace in batch.traces():
            spans = readable_spans(trace, self._limits)
            several = [spans[first : first + most] for first in range(0, len(spans), most)]
            found.append([TracePart(trace.pid, len(one), one) for one in several])
        return found

    def export(self, parts: Sequence[TracePart]) -> bool:
        """Export one batch."""
        spans = [one for part in parts for one in part.content]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Stop retrying and let go."""
        self._exporter.shutdown()


class Encoded:
    """Stands for spans and for the message they are encoded to: both are there already."""

    def __init__(self, content: bytes, count: int) -> None:
        """Hold a serialised `ExportTraceServiceRequest` of so many spans."""
        self._content, self._count = content, count

    def __len__(self) -> int:
        """Return how many spans there are."""
        return self._count

    def SerializePartialToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Return the message."""
        return self._content

    SerializeToString = SerializePartialToString


class OtlpHttpExporter:
    """OTLP by http/protobuf: the SDK's exporter has the retries, TLS, headers and compression."""

    def __init__(self, exporter: Any, limits: Limits) -> None:
        """Export through the SDK's exporter, of a class that `takes_encoded`."""
        from tracer.export.span_encoder import SpanEncoder

        self._exporter, self._encoder = exporter, SpanEncoder(limits)

    def encode(self, batch: SpanBatch, most: int) -> list[list[TracePart]]:
        """Return each trace in parts of at most so many spans."""
        return self._encoder.encode(batch, most)

    def export(self, parts: Sequence[TracePart]) -> bool:
        """Export one batch."""
        content = self._encoder.request(parts)
        spans: Any = Encoded(content, sum(one.size for one in parts))
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Stop retrying and let go."""
        self._exporter.shutdown()


def make_span_exporters(names: Sequence[str], limits: Limits) -> list[TraceExporter]:
    """Return an exporter for each entry point's name; one that isn't there is said."""
    found: list[TraceExporter] = []
    for name in names:
        try:
            found.append(_exporter(name, limits))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others work
            _logger.warning("no exporter %s (%s)", name, error)
    return found


def _exporter(name: str, limits: Limits) -> TraceExporter:
    entries = tuple(entry_points(group=_GROUP, name=name))
    if not entries:
        raise LookupError("not installed")
    kind = entries[0].load()
    if name == HTTP and takes_encoded(kind):
        return OtlpHttpExporter(kind(), limits)
    return ReadableSpanExporter(kind(), limits)


def takes_encoded(kind: Any) -> bool:
    """Have an OTLP exporter take `Encoded` for spans; say whether it then sends their bytes.

    Its module's `encode_spans` is what turns spans into a message. It is wrapped, and
    tried with a session that only keeps what it is given.
    """
    module = sys.modules[kind.__module__]
    original = getattr(module, "encode_spans", None)
    if original is None:
        return False

    def encode_spans(spans: Any) -> Any:
        return spans if isinstance(spans, Encoded) else original(spans)

    module.__dict__["encode_spans"] = encode_spans
    try:
        if _passes_bytes(kind):
            return True
    except Exception as error:  # noqa: BLE001 - whatever it is, it isn't as expected
        _logger.warning("the OTLP exporter isn't as expected (%r): sending more slowly", error)
    module.__dict__["encode_spans"] = original
    return False


def _passes_bytes(kind: Any) -> bool:
    import requests
    from opentelemetry.exporter.otlp.proto.http import Compression

    class Session(requests.Session):
        """Keeps what is sent."""

        kept: Any = None

        def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
            """Answer as a backend that takes everything."""
            self.kept = request.body
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, _NOWHERE
            response.raw = io.BytesIO()
            return response

    session = Session()
    trial = kind(endpoint=_NOWHERE, session=session, compression=Compression.NoCompression)
    sent = trial.export(Encoded(_PROBE, 1)) is SpanExportResult.SUCCESS
    trial.shutdown()
    return sent and session.kept == _PROBE
