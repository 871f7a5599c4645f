"""Folders that hold a model: saving, loading and checking them."""

# Registers the shrunk families with transformers, which the command `stark` does not do at its start.
import stark.model_folders.shrunk  # noqa: F401
