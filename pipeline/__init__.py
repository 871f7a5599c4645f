"""The pipeline: runs the whole method as stages, reports its results and deploys the models."""
