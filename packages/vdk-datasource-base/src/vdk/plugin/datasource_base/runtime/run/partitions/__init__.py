# SPDX-License-Identifier: Apache-2.0
"""Reads the partitions of a stream, each in a thread, as long as there are slots."""
