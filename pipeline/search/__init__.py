"""Candidates of sparse teachers, and how the best one is found."""
