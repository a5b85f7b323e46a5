# SPDX-License-Identifier: Apache-2.0
"""What a tap does wrong: an error that is not retried, since the tap would do it again."""

from __future__ import annotations

from vdk.plugin.datasource_base.contract import DataSourceError


class TapError(DataSourceError):
    """The tap failed, or wrote what is not a Singer message. What it wrote before the last state has landed."""
