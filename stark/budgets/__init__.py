"""From scores to masks: how much is removed."""
