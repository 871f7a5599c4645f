"""LightningModules, encoder adapters and model folders."""
