"""Searching without ripgrep and fd: a program in Python that prints what they would print.

It runs in a process of its own, since a regular expression can take for ever and only a process
can be stopped. `launch` is for the tools; the rest is loaded there alone.
"""
