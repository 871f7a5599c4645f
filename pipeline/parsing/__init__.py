"""Reading a user's input: YAML, options and plugins, with errors in one line."""
