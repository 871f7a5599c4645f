"""`stark predict-file`: a user's rows with their predictions."""
