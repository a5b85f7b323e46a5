# SPDX-License-Identifier: Apache-2.0
"""Rows to columns: values become Arrow types, records become rows, and the last operation of each key is kept."""
