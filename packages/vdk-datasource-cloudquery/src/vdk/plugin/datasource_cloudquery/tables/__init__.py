# SPDX-License-Identifier: Apache-2.0
"""Streams as CloudQuery's tables, and rows as record batches of them."""
