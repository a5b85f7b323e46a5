# SPDX-License-Identifier: Apache-2.0
"""The integration with VDK: hooks, steps, commands, ingestion plugins and properties.

Only this folder and ``plugin_entry.py`` import vdk-core.
"""
