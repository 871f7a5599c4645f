"""One fit: LightningCLI, processes of its own, loggers."""
