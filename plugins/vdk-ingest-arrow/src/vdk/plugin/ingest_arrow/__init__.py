"""The destination and ingestion method ``arrow``: lands Arrow batches in DuckDB, SQLite, PostgreSQL or Parquet."""
