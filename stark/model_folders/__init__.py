"""Folders that hold a model: saving, loading and checking them."""

# Registers the shrunk families with transformers; the command `stark` does not do this when it starts.
import stark.model_folders.shrunk  # noqa: F401
