# SPDX-License-Identifier: Apache-2.0
"""Compares what the source of a stream has with its table, over the range that the stored states claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from shlex import quote
from typing import Literal

import pyarrow as pa

from ...contract import DestinationError, Proof, VerifiableStream
from ...contract.toml import toml_key
from ...parts import HASH, Comparison, ComparisonResult, ComparisonSpec, row_hashes
from ...parts.closing import closing_early
from ...parts.columns.compute import pc
from ...parts.columns.hashes import added
from ...parts.columns.types import normalize_types
from ..report.verification import NAMED_KEYS, Verification
from .landing.stream_run import StreamRun

Compared = Literal["keys", "values"]
_NO_PROOF = (
    "the source cannot show which rows it has, so it cannot be compared; what holds for every run: "
    "rows read = landed + dropped + rejected"
)


class _NotProvable(Exception):
    """Why nothing can be compared."""


def verify_stream(
    run: StreamRun, compared: Compared, *, should_stop: Callable[[], bool] = lambda: False
) -> Verification:
    """Compare a stream with its table. Nothing is changed at the source, and nothing but temporary tables is made.

    :param should_stop: asked between two parts of the source's rows.
    :raises Exception: what the source or the destination fails with.
    """
    report = run.report
    result = Verification(report.source, report.stream, report.destination, report.table, "unproven")
    try:
        proof = _proof(run, compared)
        return _compare(run, proof, result, should_stop)
    except _NotProvable as reason:
        return replace(result, reason=str(reason))


def _proof(run: StreamRun, compared: Compared) -> Proof:
    plan, stream = run.plan, run.plan.stream
    if plan.transform is not None:
        raise _NotProvable("a transform may change or drop rows, so the table need not have what the source has")
    if not isinstance(stream, VerifiableStream):
        raise _NotProvable(_NO_PROOF)
    proof = stream.proof(
        run.stored_states, values=compared == "values", whole_rows=plan.options.on_bad_record == "reject"
    )
    if proof.reason is not None:
        raise _NotProvable(proof.reason)
    return proof


def _compare(run: StreamRun, proof: Proof, result: Verification, should_stop: Callable[[], bool]) -> Verification:
    plan, writer = run.plan, run.writer
    appends = plan.write_mode == "append" and not plan.replaces
    columns, policy = proof.columns, plan.policy
    if policy is not None:
        columns = tuple(name for name in columns if policy.action(name) not in ("drop", "refuse"))
        if lost := [name for name in proof.key if name not in columns]:
            raise _NotProvable(f"columns of the key do not land: {', '.join(lost)}")
    ordered = proof.cursor in columns and (policy is None or policy.action(proof.cursor) == "keep")
    spec = ComparisonSpec(
        plan.table,
        columns,
        proof.key,
        whole=proof.whole and plan.replaces,
        cursor=proof.cursor if proof.key and not appends and ordered else None,
        versions=appends,
    )
    if writer.call(lambda destination: destination.has_table(plan.table)) is False:
        raise DestinationError(_no_table(run))
    comparison = writer.call(lambda destination: destination.compare(spec))
    if comparison is None:
        raise _NotProvable(f"{writer.destination.identity()} cannot be compared")
    total, unkeyed = 0, 0
    values: Counter[str] = Counter()
    try:
        with closing_early(proof.rows):
            for part in proof.rows:
                if should_stop():
                    raise _NotProvable("the run was stopped")
                data = _with_key(part.data, proof.key) if plan.write_mode == "upsert" else part.data
                unkeyed += part.data.num_rows - data.num_rows
                hashes = row_hashes(data)
                rows = normalize_types(data if policy is None else policy.data(data))
                if part.claimed:  # what does not land is not to be outcome out from the hash that is kept
                    total = added(total, hashes if policy is None else row_hashes(rows))
                    values.update({name: len(rows) - rows[name].null_count for name in columns})
                rows = rows.append_column(HASH, pa.array(hashes, pa.int64()))
                writer.call(partial(_add, comparison, rows, claimed=part.claimed))
        outcome = writer.call(lambda destination: comparison.result(NAMED_KEYS))
    finally:
        with suppress(Exception):
            writer.call(lambda destination: comparison.close())
    judged = _judged(
        run,
        spec,
        outcome,
        replace(result, hash=f"{total:016x}", proof_columns=proof.columns, whole=proof.whole),
        proof.deletes,
    )
    if unkeyed:
        note = f"left out, since a column of the key has no value in them: {unkeyed:,}"
        judged = replace(judged, notes=(*judged.notes, note))
    return _without_columns(judged, {name: values[name] for name in outcome.uncompared if values[name]})


def _with_key(data: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows with a value in each column of the key: no other can land under upsert."""
    for name in key:
        if data[name].null_count:
            data = data.filter(pc.is_valid(data[name]))
    return data


def _without_columns(verification: Verification, lacking: Mapping[str, int]) -> Verification:
    """A table without a column that rows which have landed have values in does not have what the source has."""
    if not lacking:
        return verification
    columns = ", ".join(f"{name} ({count:,})" for name, count in lacking.items())
    note = f"the table lacks columns in which rows have values: {columns}"
    return replace(verification, status="different", notes=(*verification.notes, note))


def _no_table(run: StreamRun) -> str:
    plan = run.plan
    if not any(run.states.values()):
        return f"table {plan.table!r} does not exist, as nothing has landed yet; write: vdk datasource run FLOW"
    return (
        f"table {plan.table!r} does not exist, although the state says that rows of it have landed; to land them "
        f"again, write: vdk datasource run FLOW --full-refresh --stream {quote(plan.name)}"
    )


def _add(comparison: Comparison, rows: pa.Table, destination: object, *, claimed: bool) -> None:
    comparison.add(rows, claimed=claimed)


def after_whole_read(run: StreamRun, verification: Verification) -> Verification:
    """What is proven by a run that has read a stream whole, where the source has other rows by now.

    The comparison has a later snapshot than the read, so it proves nothing. The numbers do: the source has counted its
    rows in the snapshot of the read, where it can, and the table has as many as were read.
    """
    report, plan = run.report, run.plan
    rows = run.writer.call(lambda destination: destination.count_rows(plan.table)) if plan.replaces else None
    if rows is not None and rows != report.rows_landed:
        return replace(
            verification, notes=(*verification.notes, f"{report.rows_landed:,} rows landed, and the table has {rows:,}")
        )
    counted = "rows_at_source" in report.counters and rows is not None
    proven = f"; all {rows:,} rows of the snapshot that was read have landed" if counted else ""
    changes = verification.missing + verification.different + verification.extra + verification.repeated
    rows_text = "1 row" if changes == 1 else f"{changes:,} rows"
    return replace(verification, status="unproven", reason=f"{rows_text} changed at the source meanwhile{proven}")


def _judged(
    run: StreamRun, spec: ComparisonSpec, outcome: ComparisonResult, result: Verification, deletes: str | None
) -> Verification:
    """:param deletes: the option of the source that deletes extra rows."""
    names = spec.key or spec.columns
    notes = []
    if not outcome.rows and not spec.whole:
        notes.append("the state claims no rows")
    extra = 0 if run.plan.shared_table else outcome.extra
    if run.plan.shared_table and outcome.extra:
        notes.append("the table is shared, so rows that the source does not have are not counted")
    if outcome.refused:
        notes.append(f"{outcome.refused:,} rows that the destination refuses are left out")
    if outcome.uncompared:
        notes.append(f"not compared, since the table does not have them: {', '.join(outcome.uncompared)}")
    differs = outcome.missing or outcome.different or outcome.repeated or (spec.whole and extra)
    if differs and result.whole:
        notes.append("the stream has no cursor, so changes at the source after the run count as differences")
    elif extra and deletes is not None and run.plan.write_mode == "upsert":
        notes.append(f"to delete such rows, add {deletes} to [sources.{toml_key(result.source)}.config]")
    return replace(
        result,
        status="different" if differs else "verified",
        rows=outcome.rows,
        verified=outcome.rows - outcome.missing - outcome.different,
        missing=outcome.missing,
        different=outcome.different,
        repeated=outcome.repeated,
        extra=extra,
        compared=[name for name in spec.columns if name not in outcome.uncompared],
        missing_keys=_shown(names, outcome.named),
        extra_keys=_shown(names, outcome.named_extra) if extra else (),
        notes=tuple(notes),
        hashes=tuple(outcome.hashes),
        replaces=run.plan.replaces,
    )


def _shown(names: Sequence[str], keys: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(", ".join(f"{name}={value}" for name, value in zip(names, key, strict=True))[:200] for key in keys)
