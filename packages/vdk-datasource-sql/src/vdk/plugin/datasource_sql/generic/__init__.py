# SPDX-License-Identifier: Apache-2.0
"""The source ``sql``: any database that SQLAlchemy has a dialect for."""
