# SPDX-License-Identifier: Apache-2.0
"""The source "mysql": tables of a MySQL or MariaDB database."""
