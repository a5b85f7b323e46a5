"""What VDK prints before a command of ours begins, kept from its output."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Generator
from typing import Any

from vdk.api.plugin.hook_markers import hookimpl
from vdk.internal.core.config import ConfigurationBuilder


class BeforeCommands:
    """VDK prints an empty line to standard output while it reads its configuration, which makes JSON more than JSON."""

    @hookimpl(hookwrapper=True, tryfirst=True)
    def vdk_configure(self, config_builder: ConfigurationBuilder) -> Generator[None, Any, None]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            yield
        if printed.getvalue().strip():
            print(printed.getvalue(), end="", file=sys.stderr)
        # A notice about a newer VDK, after a request to the package index: neither belongs to these commands.
        config_builder.set_value("VERSION_CHECK_DISABLED", True)


def is_ours(command_line_args: list[str]) -> bool:
    """Whether VDK was started for ``vdk datasource …``, whatever options VDK itself was given before that."""
    arguments = list(command_line_args)
    while arguments and arguments[0].startswith("-"):
        del arguments[: 2 if arguments[0] in ("-v", "--verbosity") else 1]
    return arguments[:1] == ["datasource"]
