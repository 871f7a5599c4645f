"""Callbacks: pruning, teacher sparsification and rewinding, usable in any fit."""
