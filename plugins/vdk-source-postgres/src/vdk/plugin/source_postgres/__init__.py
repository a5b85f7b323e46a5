"""The source "postgres": tables of a PostgreSQL database."""
