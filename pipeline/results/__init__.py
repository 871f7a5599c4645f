"""Metrics, intervals, latency, and the summary of a run."""
