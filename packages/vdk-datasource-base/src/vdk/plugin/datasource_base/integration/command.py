"""What VDK prints before a command of ours begins, kept from its output."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
from collections.abc import Generator
from typing import Any

import click
from click.core import ParameterSource
from vdk.api.plugin.hook_markers import hookimpl
from vdk.internal.core.config import ConfigurationBuilder

from .console import CONSOLE, Console


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


class Failed(click.ClickException):
    """An error that was printed already: all that is left is the exit code."""

    def show(self, file: Any = None) -> None:
        """Prints nothing."""


class Command(click.Command):
    """A command of ``vdk datasource``.

    :param raises: errors go on to VDK once they are printed, as the errors of a job do.
    :param holds: the command's JSON has a place for warnings.
    """

    def __init__(self, *given: Any, raises: bool = False, holds: bool = False, **named: Any) -> None:
        super().__init__(*given, **named)
        self._raises, self._holds = raises, holds
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="Show errors only, and the result."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Show what VDK and client libraries log, too."),
            click.Option(["--debug"], is_flag=True, help="Show everything that is logged, and where errors come from."),
            click.Option(
                ["--log-format"],
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                help="How messages are written to standard error; json: an object a line.",
            ),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        given = {name: ctx.params.pop(name) for name in ("quiet", "verbose", "debug", "log_format")}
        console = Console(output=ctx.params.get("output", "text"), **_as_said_to_vdk(ctx, given))
        console.hold = self._holds and console.output == "json"
        ctx.obj.state.set(CONSOLE, console)
        with console:
            try:
                done = super().invoke(ctx)
                console.release()
                return done
            except (click.exceptions.Exit, click.UsageError, click.Abort, BrokenPipeError):
                raise
            except click.ClickException as error:
                console.print_error(error.format_message())
                raise Failed(error.message) from None
            except KeyboardInterrupt:
                click.echo("Interrupted.", err=True)
                raise click.exceptions.Exit(130) from None
            except Exception as error:
                console.fail(error, traced=self._raises)
                if self._raises:
                    raise
                raise Failed(str(type(error))) from None


def console_of(ctx: click.Context) -> Console:
    console: Console = ctx.obj.state.get(CONSOLE)
    return console


def _as_said_to_vdk(ctx: click.Context, given: dict[str, Any]) -> dict[str, Any]:
    """With what ``vdk -v LEVEL`` asks for, which is VDK's own option."""
    root = ctx.find_root()
    if root.get_parameter_source("verbosity") is ParameterSource.COMMANDLINE:
        level = logging.getLogger().level
        given["debug"] |= level <= logging.DEBUG
        given["verbose"] |= level <= logging.INFO
        given["quiet"] |= level >= logging.ERROR
    return given
