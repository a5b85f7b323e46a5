"""Requests and responses: the client, its connections, bodies, URLs and rate limits."""
