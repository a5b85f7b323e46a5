"""Faults in everything that a process runs meanwhile."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from ..runtime import _run
from ._faults import Fault
from ._faults_inject import Injection


@contextmanager
def injected(*faults: Fault, watch: Sequence[str] = ()) -> Iterator[Injection]:
    """Every source and destination of the flows that this process runs meanwhile has these faults.

    The flows are the real ones, and are run as always: by ``run_flows``, or by ``vdk`` within this process.

    :param watch: functions (``"package.module:Class.method"``) that become instants without a fault, to be counted.
    :raises AssertionError: at the end, if all else went well, for a fault that never struck: a test that waits for
        the fifth commit of three tests nothing.
    """
    injection = Injection(*faults)
    with ExitStack() as undo:
        undo.callback(injection.release)
        begin = _run._Run.__init__
        setattr(_run._Run, "__init__", _beginning(injection))  # noqa: B010  # mypy refuses the assignment
        undo.callback(setattr, _run._Run, "__init__", begin)
        for point in dict.fromkeys([*watch, *(one.instant for one in faults if ":" in one.instant)]):
            owner, name = _owner(point)
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, injection.around(point, getattr(owner, name)))
        yield injection
    for one in faults:
        times = len([passed for passed in injection.passed if (passed.instant, passed.when) == (one.instant, one.when)])
        assert one in injection.struck, f"{one} never struck: the run passed its instant {times} times"


def _beginning(injection: Injection) -> Any:
    begin = _run._Run.__init__

    def begun(run: _run._Run, *args: Any, **kwargs: Any) -> None:
        begin(run, *args, **kwargs)
        for destination in run._destinations.values():
            injection.into_destination(destination)
        for flow in run._flows:
            injection.into_source(flow._source)

    return begun


def _owner(point: str) -> tuple[Any, str]:
    """What has the function, and its name there. Raises ``ValueError`` where there is no such function."""
    module, _, path = point.partition(":")
    *parents, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    if not inspect.isfunction(inspect.getattr_static(owner, name, None)):
        raise ValueError(f"{point!r} is no function, and no method of a class")
    return owner, name
