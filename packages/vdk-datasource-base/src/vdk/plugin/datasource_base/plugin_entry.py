# SPDX-License-Identifier: Apache-2.0
"""The entry point that VDK loads with every command. Slow modules are imported when they are used."""

from __future__ import annotations

import atexit
import gc
import warnings
from collections.abc import Generator
from typing import Any, cast

import click
from vdk.api.plugin.hook_markers import hookimpl
from vdk.api.plugin.plugin_registry import IPluginRegistry
from vdk.internal.builtin_plugins.run.job_context import JobContext
from vdk.internal.core.config import ConfigurationBuilder

from .integration.commands.base_command import BeforeCommands, interrupt_quietly, is_datasource_command
from .integration.config_keys import add_keys
from .integration.hooks import DataSourceHookSpec


@hookimpl
def vdk_start(plugin_registry: IPluginRegistry, command_line_args: list[str]) -> None:
    plugin_registry.add_hook_specs(DataSourceHookSpec)
    if is_datasource_command(command_line_args):
        _spare_collections()
        interrupt_quietly()
        # A job that a signal ends is not a plugin's fault, as pluggy would say in five lines.
        warnings.filterwarnings("ignore", "A plugin raised an exception during an old-style hookwrapper teardown")
        plugin_registry.load_plugin_with_hooks_impl(BeforeCommands(), "vdk-datasource-before-commands")


def _spare_collections() -> None:
    """Search less often for cycles, in a process that ends with its command. Imports alone create 300,000 objects that
    stay; and a last search through all of them, as Python ends, takes up to half a second."""
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)


@hookimpl
def vdk_configure(config_builder: ConfigurationBuilder) -> None:
    add_keys(config_builder)


@hookimpl
def vdk_command_line(root_command: click.Group) -> None:
    from .integration.commands.group import datasource

    root_command.add_command(datasource)


@hookimpl(hookwrapper=True, tryfirst=True)
def initialize_job(context: JobContext) -> Generator[None, Any, None]:
    """Record what the job's plugins register, then add its flow files as steps.

    This is the outermost hook wrapper: vdk-core offers no other access to an ingestion plugin itself, whose return is
    the only acknowledgement of delivery.
    """
    from .integration.console import CONSOLE
    from .integration.flow_job import add_flow_steps
    from .integration.ingestion import IngesterProxy, PropertiesProxy
    from .integration.job_environment import Job, register_job

    ingester = IngesterProxy(context.ingester)
    properties = PropertiesProxy(context.properties)
    # proxies rather than subclasses: VDK calls more methods than its interfaces declare
    context.ingester = cast(Any, ingester)
    context.properties = cast(Any, properties)
    outcome = yield
    console = context.core_context.state.get(CONSOLE)
    if console is not None:
        console.on_job_start(context.core_context.configuration)
    if outcome.excinfo is None:
        register_job(Job(context, ingester, properties))
        add_flow_steps(context)
