"""From scores to masks: how many units are removed."""
