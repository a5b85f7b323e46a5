"""Lands Arrow batches in an embedded database: the VDK ingestion method ``arrow``."""
