"""Changed rows to distil on, where there are no other rows without labels: one change per file."""
