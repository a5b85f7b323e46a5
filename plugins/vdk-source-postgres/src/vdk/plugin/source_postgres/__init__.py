# SPDX-License-Identifier: Apache-2.0
"""The source "postgres": tables of a PostgreSQL database."""
