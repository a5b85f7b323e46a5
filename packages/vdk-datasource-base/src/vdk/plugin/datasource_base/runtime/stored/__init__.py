# SPDX-License-Identifier: Apache-2.0
"""Stored states, shown and changed on demand: ``vdk datasource state``.

``listing`` has the states of a flow file's destinations, ``flows`` the streams that they belong to, and ``changes``
stores other states in their place. ``reset``, ``setting``, ``exchange`` and ``adoption`` are the commands.
"""
