"""`stark report`: a run as one page, pictures first."""
