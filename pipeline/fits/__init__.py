"""Running a single fit: LightningCLI, separate processes, loggers."""
