# SPDX-License-Identifier: Apache-2.0
"""What the SQL targets share: tables and columns, staging, publishing, and states in the same transaction.

A target is an ``SqlTarget`` that reads its URL, a ``Database`` (the connection and the SQL dialect) and its ``Types``
(which type an Arrow column becomes, and which one a column becomes when another type comes).
"""
