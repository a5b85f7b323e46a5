# SPDX-License-Identifier: Apache-2.0
"""Runs the flows of a file. The way of a row, of a state and of an error through the modules here and in its folders:

A row: ``flow_run`` starts a ``partition_reader`` for each partition, which iterates over the source's ``read``.
``buffer`` collects its payloads until they make a batch; ``batching`` transforms, converts and deduplicates the rows.
The batch waits in the queue of the destination's ``writer`` thread, as a unit of ``commit_groups``.
There ``stream_run`` commits it, alone or with units of other partitions; rows of a replaced table are staged.
``replacement`` checks them, ``publication`` publishes them; ``counters`` counts in the report what has landed.

A state: ``planner`` loads the stored states and connects the source with them.
``partition_reader`` passes ``read`` a copy of its partition's state.
``buffer`` copies each state that is yielded (``runtime.states``), and keeps it with the rows before it.
``stream_run`` commits it together with these rows, if no other run has stored one meanwhile.
``runtime.states`` calls the source's ``committed`` with it.

An error: ``partition_reader`` catches what the source, a conversion or a commit raises.
``runtime.retry`` says whether and when the partition is read again, from the last stored state.
If it is not, ``flow_run`` fails this stream, discards its staged rows, and ends the others if ``on_error = "stop"``.
A row that does not fit is rejected in ``batching`` if the flow allows it; ``counters`` checks the limit.
``flow_file_run`` writes the summary and raises ``FlowFailedError``, without secrets.
"""
