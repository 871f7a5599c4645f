"""Grouping rows into batches, and making tensors of a batch."""
