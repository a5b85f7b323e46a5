# SPDX-License-Identifier: Apache-2.0
"""Faults for the tests of sources and destinations: failures, hangs, garbage, full disks, and kills at any instant.

A test of a source, with its real flow and a real destination::

    from vdk.plugin.datasource_base.testing.faults import Fail, Kill, assert_exactly_once, injected, run_child

    def test_a_commit_whose_result_is_lost(flow, rows, landed):
        with injected(Fail("commit", nth=2, when="after")):
            run_flows(None, flow)
        assert_exactly_once(rows(), landed())

    def test_killed_before_its_third_payload(flow, rows, landed):
        assert run_child(run_flows, None, flow, faults=[Kill("read", nth=3)]).killed
        run_flows(None, flow)
        assert_exactly_once(rows(), landed())

For a destination without a flow: ``Injection(...).into_destination(destination)``.
"""

from .assertions import assert_at_least_once, assert_exactly_once
from .child_process import ChildResult, run_child, run_with_random_kills
from .disk import file_size_limit, small_disk
from .injection import Injection, PassedInstant, injected
from .kinds import GARBAGE, INSTANTS, Fail, Fault, Garble, Hang, Kill, UnprintableError, When

__all__ = [
    "GARBAGE",
    "INSTANTS",
    "ChildResult",
    "Fail",
    "Fault",
    "Garble",
    "Hang",
    "Injection",
    "Kill",
    "PassedInstant",
    "UnprintableError",
    "When",
    "assert_at_least_once",
    "assert_exactly_once",
    "file_size_limit",
    "injected",
    "run_child",
    "run_with_random_kills",
    "small_disk",
]
