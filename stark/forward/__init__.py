"""From a batch to logits, without what the logits do not need."""
