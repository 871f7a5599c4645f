"""Which stages there are, and in which order."""
