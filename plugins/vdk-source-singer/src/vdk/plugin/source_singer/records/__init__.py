# SPDX-License-Identifier: Apache-2.0
"""Records as columns: JSON schemas, decoding, the tables of a tap, and files of records."""
