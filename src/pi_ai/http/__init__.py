"""The network: a small seam, its aiohttp implementation, server-sent events, retries."""
