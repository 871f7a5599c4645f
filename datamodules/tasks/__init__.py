"""Tasks: which columns, labels and metrics they have."""
