"""Losses of distillation, one file each."""
