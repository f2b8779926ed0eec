"""The built-in providers and their models, as data."""
