"""Keys and values of messages as columns: one decoder for each format."""
