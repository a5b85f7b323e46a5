# SPDX-License-Identifier: Apache-2.0
"""The target ``parquet:///folder``: a folder for each table, rows and states landing by one rename."""
