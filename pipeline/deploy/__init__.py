"""A finished model in use."""
