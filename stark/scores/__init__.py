"""Scores of heads and FFN neurons, one file each."""
