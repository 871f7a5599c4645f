"""Texts as tokens, kept in a cache."""
