"""Decodes keys and values of messages to columns: one decoder for each format."""
