# SPDX-License-Identifier: Apache-2.0
"""Paging: which request comes after a page, and whether there is one."""
