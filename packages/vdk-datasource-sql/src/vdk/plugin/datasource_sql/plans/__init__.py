# SPDX-License-Identifier: Apache-2.0
"""What a table is, and how its options say that it is read."""
