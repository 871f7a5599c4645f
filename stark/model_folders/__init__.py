"""Folders that hold a model: saving, loading and checking them."""
