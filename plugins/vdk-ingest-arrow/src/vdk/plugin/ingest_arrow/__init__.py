# SPDX-License-Identifier: Apache-2.0
"""The destination and ingestion method ``arrow``: lands Arrow batches in DuckDB, SQLite, PostgreSQL or Parquet."""
