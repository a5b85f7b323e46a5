"""Faults for the tests of sources and destinations: failures, hangs, garbage, full disks, and kills at any instant.

A test of a source, with its real flow into a real destination::

    from vdk.plugin.datasource_base.testing.faults import Fail, Kill, assert_exactly_once, injected, run_child

    def test_a_commit_that_landed_though_its_answer_was_lost(flow, rows, landed):
        with injected(Fail("commit", nth=2, when="after")):
            run_flows(None, flow)
        assert_exactly_once(rows(), landed())

    def test_killed_before_its_third_payload(flow, rows, landed):
        assert run_child(run_flows, None, flow, faults=[Kill("read", nth=3)]).killed
        run_flows(None, flow)
        assert_exactly_once(rows(), landed())

Of anything that this process does not make through a flow: ``Injection(...).into_destination(destination)``.
"""

from .assertions import assert_at_least_once, assert_exactly_once
from .child_process import Ended, run_child, run_killed
from .disk import files_up_to, small_disk
from .injection import Injection, Passed, injected
from .kinds import GARBAGE, INSTANTS, Fail, Fault, Garble, Hang, Kill, UnprintableError, When

__all__ = [
    "GARBAGE",
    "INSTANTS",
    "Ended",
    "Fail",
    "Fault",
    "Garble",
    "Hang",
    "Injection",
    "Kill",
    "Passed",
    "UnprintableError",
    "When",
    "assert_at_least_once",
    "assert_exactly_once",
    "files_up_to",
    "injected",
    "run_child",
    "run_killed",
    "small_disk",
]
