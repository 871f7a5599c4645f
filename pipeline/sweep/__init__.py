"""`stark sweep`: a search over settings of `stark run` with Optuna."""
