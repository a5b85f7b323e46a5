"""The target ``duckdb:///file``."""
