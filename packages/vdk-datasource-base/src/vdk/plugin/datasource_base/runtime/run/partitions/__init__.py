# SPDX-License-Identifier: Apache-2.0
"""Reads the partitions of a stream, in threads, as long as there are slots."""
