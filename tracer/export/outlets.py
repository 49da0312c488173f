"""Where spans leave: the SDK's exporters, each by the quickest way that it takes them."""

from __future__ import annotations

import io
import logging
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final, Protocol

from opentelemetry.sdk.trace.export import SpanExportResult

from tracer.export.readable import readable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.spans.span_builder import SpanBatch
    from tracer.export.limiting import Limits

HTTP: Final = "otlp_proto_http"
_GROUP: Final = "opentelemetry_traces_exporter"
_PROBE: Final = b"\x0a\x00"
_NOWHERE: Final = "http://127.0.0.1:9/v1/traces"

_logger = logging.getLogger(__name__)


class Parcel(Protocol):
    """A part of a trace, ready to be sent."""

    @property
    def size(self) -> int:
        """How many spans there are."""


class Outlet(Protocol):
    """Packs traces and sends them; `send` says whether they arrived."""

    def pack(self, drawing: SpanBatch, most: int) -> Sequence[Sequence[Parcel]]:
        """Return each trace in parcels of at most so many spans."""

    def send(self, parcels: Sequence[Any]) -> bool:
        """Send; this may take as long as the exporter retries."""

    def close(self) -> None:
        """Stop retrying and let go."""


class Spans:
    """A part of a trace as the SDK's spans."""

    def __init__(self, spans: list[Any]) -> None:
        """Hold the spans."""
        self.spans = spans

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.spans)


class ReadableOutlet:
    """Any exporter of the SDK's or of others, as it is meant to be used."""

    def __init__(self, exporter: Any, limits: Limits) -> None:
        """Send through `exporter`."""
        self._exporter, self._limits = exporter, limits

    def pack(self, drawing: SpanBatch, most: int) -> list[list[Spans]]:
        """Return each trace in parcels of at most so many spans."""
        several = [readable(trace, self._limits) for trace in drawing.traces()]
        return [
            [Spans(spans[first : first + most]) for first in range(0, len(spans), most)]
            for spans in several
        ]

    def send(self, parcels: Sequence[Spans]) -> bool:
        """Send one batch."""
        spans = [one for parcel in parcels for one in parcel.spans]
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
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


class WireOutlet:
    """OTLP by http/protobuf: the exporter's own retries, TLS, headers and compression."""

    def __init__(self, exporter: Any, limits: Limits) -> None:
        """Send through the SDK's exporter, which passes bytes as `is_open` found out."""
        from tracer.export.wire import Wire

        self._exporter, self._wire = exporter, Wire(limits)

    def pack(self, drawing: SpanBatch, most: int) -> Sequence[Sequence[Parcel]]:
        """Return each trace in parcels of at most so many spans."""
        return self._wire.pack_all(drawing, most)

    def send(self, parcels: Sequence[Any]) -> bool:
        """Send one batch."""
        content = self._wire.request(parcels)
        spans: Any = Encoded(content, sum(one.size for one in parcels))
        return self._exporter.export(spans) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Stop retrying and let go."""
        self._exporter.shutdown()


def make_outlets(names: Sequence[str], limits: Limits) -> list[Outlet]:
    """Return an outlet for each exporter by its entry point; one that isn't there is said."""
    found: list[Outlet] = []
    for name in names:
        try:
            found.append(_outlet(name, limits))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others work
            _logger.warning("no exporter %s (%s)", name, error)
    return found


def _outlet(name: str, limits: Limits) -> Outlet:
    entries = tuple(entry_points(group=_GROUP, name=name))
    if not entries:
        raise LookupError("not installed")
    kind = entries[0].load()
    if name == HTTP and open_seam(kind):
        return WireOutlet(kind(), limits)
    return ReadableOutlet(kind(), limits)


def open_seam(kind: Any) -> bool:
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
