# SPDX-License-Identifier: Apache-2.0
"""Lands the batches of a stream: commits, what waits to be published, and the thread that uses the destination."""
