"""HTTP: requests and responses, how they are sent, and how fast."""
