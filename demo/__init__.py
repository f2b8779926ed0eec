"""`make demo`: an agent repairs a small project, and remembers it."""
