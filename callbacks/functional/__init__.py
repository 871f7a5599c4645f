"""Pure functions behind the callbacks: tensors in, tensors out."""
