"""Providers one can log in to: their tokens, and the steps of a login."""
