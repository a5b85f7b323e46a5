# SPDX-License-Identifier: Apache-2.0
"""Ranges of a large table, which several readers read at once."""
