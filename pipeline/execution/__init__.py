"""Planning and running stages, and the record of their outputs."""
