# SPDX-License-Identifier: Apache-2.0
"""A sync: the runtime reads the source, and its rows become messages."""
