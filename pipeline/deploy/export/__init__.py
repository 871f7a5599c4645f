"""Forms of a model that are served without this project."""
