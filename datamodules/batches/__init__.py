"""Which rows meet in a batch, and how a batch is made of them."""
