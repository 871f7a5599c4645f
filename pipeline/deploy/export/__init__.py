"""Exports models to formats that are used without this project."""
