"""The integration with VDK: hooks, steps, commands, ingestion plugins, properties. Nothing else imports vdk-core."""
