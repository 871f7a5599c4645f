"""Using a finished model: prediction, serving, export and upload."""
