"""vdk-source-kafka: Kafka topics as streams of typed rows, with the offsets as state."""
