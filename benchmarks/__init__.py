"""Benchmarks that compare this project with the plain way of doing the same work; `make bench` runs them."""
