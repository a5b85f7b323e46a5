# SPDX-License-Identifier: Apache-2.0
"""The rows of a table: pages of them, in bulk or one by one, as payloads."""
