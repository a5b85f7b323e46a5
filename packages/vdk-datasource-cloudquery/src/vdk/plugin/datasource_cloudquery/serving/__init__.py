# SPDX-License-Identifier: Apache-2.0
"""The process that answers CloudQuery's requests, and the command that starts it."""
