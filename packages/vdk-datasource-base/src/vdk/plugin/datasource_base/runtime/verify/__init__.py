# SPDX-License-Identifier: Apache-2.0
"""Proves that what a state claims to have landed is in the table."""
