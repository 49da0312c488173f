"""Spans to wherever OpenTelemetry's exporters send them, in a process beside the agent."""
