"""Experiments on real data. `python -m experiments` measures what makes students better, and writes docs/results.md."""
