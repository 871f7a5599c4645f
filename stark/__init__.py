"""The method without Lightning: what needs torch and transformers alone."""
