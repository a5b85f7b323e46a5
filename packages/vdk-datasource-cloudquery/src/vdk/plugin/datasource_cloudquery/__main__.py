# SPDX-License-Identifier: Apache-2.0
"""How CloudQuery starts a local plugin, without vdk-core: ``python -m vdk.plugin.datasource_cloudquery NAME serve``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

DEFAULT_ADDRESS = "127.0.0.1:7777"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; unknown options are ignored, since each version of the CLI adds some."""
    parser = argparse.ArgumentParser(prog="python -m vdk.plugin.datasource_cloudquery", allow_abbrev=False)
    parser.add_argument("name", help="the name of the source, as in `vdk datasource list`")
    parser.add_argument("command", nargs="?", default="serve", choices=["serve"])
    parser.add_argument("--address", default=DEFAULT_ADDRESS)
    parser.add_argument("--network", default="tcp", choices=["tcp", "unix"])
    parser.add_argument("--log-level", default="info")
    options, _ = parser.parse_known_args(arguments)

    from .serving.server import AddressError, serve

    try:
        serve(options.name, options.address, options.network, level=options.log_level)
    except AddressError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
