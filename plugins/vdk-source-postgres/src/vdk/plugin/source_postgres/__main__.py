# SPDX-License-Identifier: Apache-2.0
"""``python -m vdk.plugin.source_postgres config | check | discover | preview``."""

from vdk.plugin.datasource_base import source_main

source_main("postgres")
