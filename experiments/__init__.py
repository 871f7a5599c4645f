"""Experiments on real data: `python -m experiments` runs them and writes their results to docs/results.csv."""
