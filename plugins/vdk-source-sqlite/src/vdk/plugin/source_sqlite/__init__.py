"""vdk-source-sqlite: a SQLite database as a data source, one stream per table."""
