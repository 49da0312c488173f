"""The contract's documents: what summaries and comparisons say, and what was found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tracer.analysis.findings.advice import findings
from tracer.analysis.statistics.comparison import compare
from tracer.analysis.statistics.summary import seam_entry, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tracer.analysis.statistics.measurement import Measurement

REPORT_SCHEMA: Final = "tracer.report/1"
COMPARISON_SCHEMA: Final = "tracer.comparison/1"


def report_document(measurement: Measurement) -> dict[str, Any]:
    """Return the contract's `tracer.report/1` of one configuration."""
    return {
        "schema": REPORT_SCHEMA,
        "environment": dict(measurement.environment),
        "seams": [seam_entry(seam) for seam in measurement.seams],
        "configurations": [summarise(measurement)],
        "findings": findings([measurement]),
    }


def compare_document(
    measurements: Sequence[Measurement], *, include_findings: bool = True
) -> dict[str, Any]:
    """Return the contract's `tracer.comparison/1`: each configuration against the first."""
    compared = compare(measurements)
    found = findings(measurements, compared["configurations"]) if include_findings else []
    return {"schema": COMPARISON_SCHEMA, **compared, "findings": found}
