# SPDX-License-Identifier: Apache-2.0
"""``python -m vdk.plugin.source_singer config | check | discover | preview``."""

from vdk.plugin.datasource_base import source_main

source_main("singer")
