# SPDX-License-Identifier: Apache-2.0
"""The base of the ``vdk datasource`` commands: common options, the console, errors, and VDK's own output."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource
from vdk.api.plugin.hook_markers import hookimpl
from vdk.internal.core.config import ConfigurationBuilder
from vdk.internal.core.context import CoreContext

from ..console import CONSOLE, Console

if TYPE_CHECKING:
    from ...parts.plugins.registry import Registry


class BeforeCommands:
    """Keeps standard output clean: VDK prints an empty line while it reads its configuration, which spoils JSON."""

    @hookimpl(hookwrapper=True, tryfirst=True)
    def vdk_configure(self, config_builder: ConfigurationBuilder) -> Generator[None, Any, None]:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            yield
        if printed.getvalue().strip():
            print(printed.getvalue(), end="", file=sys.stderr)
        # These commands make no request to the package index, and print no notice about a newer VDK.
        config_builder.set_value("VERSION_CHECK_DISABLED", True)

    @hookimpl
    def vdk_exit(self, context: CoreContext, exit_code: int) -> None:
        usual_interrupt()


def interrupt_quietly() -> None:
    """Until ``usual_interrupt``, Ctrl-C ends the process as it ends a command, without a traceback of an import."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit_interrupted)


def usual_interrupt() -> None:
    """Ctrl-C raises ``KeyboardInterrupt`` again, which a command handles. Idempotent."""
    if signal.getsignal(signal.SIGINT) is _exit_interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _exit_interrupted(number: int, frame: Any) -> None:
    """Nothing is at work yet, and an exception may be lost in what is being imported."""
    os.write(2, b"Interrupted.\n")
    os._exit(128 + number)


def is_datasource_command(command_line_args: list[str]) -> bool:
    """Whether the command line is ``vdk datasource …``, also with options of VDK itself before ``datasource``."""
    arguments = list(command_line_args)
    while arguments and arguments[0].startswith("-"):
        del arguments[: 2 if arguments[0] in ("-v", "--verbosity") else 1]
    return arguments[:1] == ["datasource"]


class ErrorPrinted(click.ClickException):
    """An error that is printed already: only its exit code is left."""

    def show(self, file: Any = None) -> None:
        """Prints nothing."""


class WrongArgumentPrinted(ErrorPrinted):
    """The same for a wrong command line."""

    exit_code = 2


class Command(click.Command):
    """A command of ``vdk datasource``.

    :param reraise: errors are raised to VDK once they are printed, like the errors of a job.
    :param json_warnings: the command's JSON contains the warnings.
    """

    def __init__(self, *args: Any, reraise: bool = False, json_warnings: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reraise, self._json_warnings = reraise, json_warnings
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, help="Show only the result, warnings and errors."),
            click.Option(["-v", "--verbose"], is_flag=True, help="Also show what VDK and libraries log at INFO."),
            click.Option(["--debug"], is_flag=True, help="Show all log lines, and where errors are raised."),
            click.Option(
                ["--log-format"],
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                help="Format of the messages on standard error; json: one object per line.",
            ),
        ]

    def get_short_help_str(self, limit: int = 45) -> str:
        """The whole first sentence, which click cuts off in lists of commands."""
        return super().get_short_help_str(limit=500)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The same as click's; for a second argument it names the option ``--stream``, where there is one."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            extra = re.search(r"unexpected extra arguments? \((\S+)", error.message)
            named = any("--stream" in parameter.opts for parameter in self.params)
            if extra is None or not named or ".toml" in extra[1]:
                raise
            stream = quote(extra[1].rstrip(")"))
            raise click.UsageError(f"{error.message}; one stream alone: --stream {stream}", error.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        options = {name: ctx.params.pop(name) for name in ("quiet", "verbose", "debug", "log_format")}
        console = Console(output=ctx.params.get("output", "text"), **_with_vdk_verbosity(ctx, options))
        console.collects_warnings = self._json_warnings and console.output == "json"
        if isinstance(flow := ctx.params.get("flow"), Path):
            console.rewrite = lambda text: _with_flow(text, flow, ctx)
        ctx.obj.state.set(CONSOLE, console)
        with console:
            try:
                usual_interrupt()
                result = super().invoke(ctx)
                console.print_warnings()
                return result
            except (click.exceptions.Exit, click.UsageError, click.Abort, BrokenPipeError):
                raise
            except click.ClickException as error:
                console.print_error(error.format_message())
                printed = WrongArgumentPrinted if error.exit_code == 2 else ErrorPrinted
                raise printed(error.message) from None
            except KeyboardInterrupt:
                click.echo("Interrupted.", err=True)
                raise click.exceptions.Exit(130) from None
            except Exception as error:
                console.print_failure(error, traced=self._reraise)
                if _is_wrong_argument(error):
                    raise WrongArgumentPrinted(str(type(error))) from None
                if self._reraise:
                    raise
                raise ErrorPrinted(str(type(error))) from None


def _is_wrong_argument(error: BaseException) -> bool:
    """Whether the command line is all that is wrong."""
    from ...contract import FlowFailedError
    from ...contract.errors import ArgumentError

    if isinstance(error, FlowFailedError) and error.errors:
        return all(map(_is_wrong_argument, error.errors))
    return isinstance(error, ArgumentError)


def _with_flow(text: str, flow: Path, ctx: click.Context) -> str:
    """A message with the name of the flow file, and with the places in it that its lines to write belong to."""
    from ..texts.file_text import of_flow_file

    def registry() -> Registry:
        from ...parts.plugins.registry import Registry
        from ..hooks import with_plugins

        return with_plugins(Registry(), ctx.obj.plugin_registry)

    text = of_flow_file(text, flow, registry)
    if "FLOW" not in text:
        return text
    from ...parts.redact import with_flow  # which loads Arrow

    return with_flow(text, flow)


class WrongArgument(click.ClickException):
    """An argument or an option has a value that is wrong: one message, without click's lines about the usage."""

    exit_code = 2


@contextlib.contextmanager
def wrong_arguments() -> Iterator[None]:
    """What is refused meanwhile is a mistake in the command line."""
    from ...contract import ConfigurationError

    try:
        yield
    except ConfigurationError as error:
        raise WrongArgument(str(error)) from None


def console_of(ctx: click.Context) -> Console:
    console: Console = ctx.obj.state.get(CONSOLE)
    return console


def _with_vdk_verbosity(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The options, with those that VDK's own option ``vdk -v LEVEL`` implies."""
    root = ctx.find_root()
    if root.get_parameter_source("verbosity") is ParameterSource.COMMANDLINE:
        level = logging.getLogger().level
        options["debug"] |= level <= logging.DEBUG
        options["verbose"] |= level <= logging.INFO
        options["quiet"] |= level >= logging.ERROR
    return options
