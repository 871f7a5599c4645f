"""Kinds of label, and their metrics."""
