"""vdk-source-acme: TODO what it reads, in one line."""
