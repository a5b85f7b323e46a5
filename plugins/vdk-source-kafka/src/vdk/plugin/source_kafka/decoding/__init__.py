# SPDX-License-Identifier: Apache-2.0
"""Decodes keys and values of messages to columns: one decoder for each format."""
