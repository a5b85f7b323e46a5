# SPDX-License-Identifier: Apache-2.0
"""Reads streams for a program rather than for a destination: rows are handed over, and cannot be taken back."""
