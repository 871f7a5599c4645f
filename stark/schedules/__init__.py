"""How something changes over the epochs of a fit."""
