"""What SQL targets share: which tables and columns there are, staging, publishing, and states in the same transaction.

A target is a ``Database`` (a connection, and what its SQL spells otherwise) with its ``Types`` (what Arrow columns
become, and what a column becomes when another type comes), and an ``SqlTarget`` that reads its URL.
"""
