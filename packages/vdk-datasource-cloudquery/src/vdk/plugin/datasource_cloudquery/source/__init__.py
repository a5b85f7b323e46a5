# SPDX-License-Identifier: Apache-2.0
"""A configured source: its options, their JSON schema, and the source while it is connected."""
