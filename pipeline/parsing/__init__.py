"""What a user writes: YAML, options, plugins, and errors in one line."""
