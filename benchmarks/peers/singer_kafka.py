"""A Singer tap reads a topic, without a target.

    python singer_kafka.py SERVERS TOPIC

The tap is pipelinewise-tap-kafka, called as its command calls it. Its lines go nowhere. It ends after a second without
a message.
"""

import contextlib
import os
import sys

import tap_kafka
from tap_kafka import common, sync

IDLE_SECONDS = 1
servers, topic = sys.argv[1:]
given = {"bootstrap_servers": servers, "group_id": "bench", "topic": topic, "initial_start_time": "beginning"}
options = {"use_message_key": False, "consumer_timeout_ms": IDLE_SECONDS * 1000, "partitions": []}
config = tap_kafka.generate_config({**given, **options})
catalog = {"streams": common.generate_catalog(config)}
with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
    sync.do_sync(config, catalog, {})
