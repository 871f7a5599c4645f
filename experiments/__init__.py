"""The evidence: which students the method gives on real data, run by `python -m experiments` into docs/results.csv."""
