"""Benchmarks: the same work done the plain way and ours, side by side on one machine; `make bench` runs them."""
