"""The target ``parquet:///folder``: a folder for each table, rows and states landing by one rename."""
