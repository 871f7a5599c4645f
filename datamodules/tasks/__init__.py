"""Tasks: their columns, labels and metrics."""
