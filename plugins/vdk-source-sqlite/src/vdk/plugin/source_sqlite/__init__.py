# SPDX-License-Identifier: Apache-2.0
"""vdk-source-sqlite: a SQLite database as a data source, one stream per table."""
