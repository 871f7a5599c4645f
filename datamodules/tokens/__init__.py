"""Tokenised texts, stored in a cache."""
