"""Describing a file of rows: which columns are what, where the user has not written a YAML."""
