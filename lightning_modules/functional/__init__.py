"""Pure functions behind the modules: tensors in, tensors out."""
