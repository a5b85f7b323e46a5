"""A configuration whose module uses the network when it is imported."""

from __future__ import annotations

import contextlib
import socket

from reference_shop import ShopConfig

with contextlib.suppress(ConnectionRefusedError):
    socket.create_connection(("127.0.0.1", 9), timeout=1).close()


class AskingConfig(ShopConfig):
    """Has the options of the shop."""
