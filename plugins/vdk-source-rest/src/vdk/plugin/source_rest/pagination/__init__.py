"""Paging: which request comes after a page, and whether there is one."""
