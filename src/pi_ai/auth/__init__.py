"""Credentials: which key a request is sent with."""
