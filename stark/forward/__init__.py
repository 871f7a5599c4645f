"""The forward pass from a batch to logits, without computations that the logits do not need."""
