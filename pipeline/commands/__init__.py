"""The commands of `stark`."""
