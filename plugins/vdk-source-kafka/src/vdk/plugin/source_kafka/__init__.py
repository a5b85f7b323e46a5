# SPDX-License-Identifier: Apache-2.0
"""vdk-source-kafka: Kafka topics as streams of typed rows, with the offsets as state."""
