"""Which stages run, and the record of what they left."""
