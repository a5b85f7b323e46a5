# SPDX-License-Identifier: Apache-2.0
"""Which records are new: cursors, ranges and sync tokens, and the state that stores how far reading has come."""
