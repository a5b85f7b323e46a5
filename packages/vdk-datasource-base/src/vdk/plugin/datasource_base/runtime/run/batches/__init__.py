# SPDX-License-Identifier: Apache-2.0
"""Payloads of a partition become batches of a table."""
