"""vdk-source-acme: TODO say in one line what is read."""
