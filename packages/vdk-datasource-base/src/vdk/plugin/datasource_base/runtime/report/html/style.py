# SPDX-License-Identifier: Apache-2.0
"""The style of a report, for light and dark screens, narrow ones and paper."""

from __future__ import annotations

STYLE = """
:root { --page: #fbfbfa; --card: #fff; --text: #1d2329; --muted: #626b75; --line: #e1e4e8; --read: #8a94a0;
  --landed: #1f6feb; --good: #1a7f37; --bad: #c9252d; --warn: #9a6700; --bad-back: #fff0ef; --warn-back: #fff8e5; }
@media (prefers-color-scheme: dark) { :root { --page: #101418; --card: #171c22; --text: #e4e8ec; --muted: #97a1ac;
  --line: #2c343d; --read: #7d8792; --landed: #58a6ff; --good: #4cc163; --bad: #ff7b72; --warn: #e3b341;
  --bad-back: #2b1718; --warn-back: #29220f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 24px 20px 48px; }
h1 { font-size: 24px; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 17px; margin: 0 0 10px; }
h3 { font-size: 13px; margin: 12px 0 4px; color: var(--muted); font-weight: 600; }
p { margin: 0 0 8px; } .muted, small { color: var(--muted); font-size: 13px; font-weight: 400; }
code, pre { font: 13px/1.45 ui-monospace, monospace; overflow-wrap: anywhere; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px;
  margin-top: 16px; }
.tiles { display: flex; flex-wrap: wrap; gap: 8px 36px; margin: 14px 0 4px; }
.tiles dt { color: var(--muted); font-size: 13px; } .tiles dd { margin: 0; font-size: 22px; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.status { font-size: 13px; font-weight: 600; white-space: nowrap; color: var(--muted); }
h1 .status { font-size: 15px; margin-left: 6px; }
.status.succeeded { color: var(--good); } .status.failed { color: var(--bad); }
.status.stopped, .status.interrupted { color: var(--warn); }
.failures, .warnings { list-style: none; margin: 0; padding: 0; }
.failures li, .warnings li { padding: 8px 12px; margin-top: 6px; border-radius: 6px; background: var(--bad-back);
  border-left: 4px solid var(--bad); overflow-wrap: anywhere; white-space: pre-wrap; }
.warnings li { background: var(--warn-back); border-color: var(--warn); }
.scroll { overflow-x: auto; } table + table, .scroll + .scroll { margin-top: 14px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; color: var(--muted); font-size: 13px; font-weight: 600; white-space: nowrap; }
th, td { padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: break-word;
  min-width: 64px; }
td:first-child { min-width: 150px; max-width: 340px; overflow-wrap: anywhere; }
td:last-child, th:last-child { padding-right: 0; } tbody tr:last-child td { border-bottom: 0; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; } .wide { min-width: 220px; }
.share { display: block; height: 3px; margin-top: 3px; background: var(--line); border-radius: 2px; }
.share i { display: block; height: 3px; margin-left: auto; background: var(--landed); border-radius: 2px; }
svg { display: block; } svg.chart { width: 100%; height: auto; } .spark { margin-top: 1px; }
.line { fill: none; stroke: var(--landed); stroke-width: 2; stroke-linejoin: round; }
.line.read { stroke: var(--read); } .spark .line { stroke-width: 1.5; }
.grid { stroke: var(--line); stroke-width: 1; } .tick { fill: var(--muted); font-size: 13px; }
.label { font-size: 13px; font-weight: 600; } .label.read { fill: var(--muted); } .label.landed { fill: var(--landed); }
.bar { fill: var(--good); } .bar.failed, .bar.killed { fill: var(--bad); }
.bar.stopped, .bar.interrupted, .bar.running { fill: var(--warn); }
.mark { font-size: 11px; fill: var(--warn); } .mark.failed, .mark.killed { fill: var(--bad); }
details summary { cursor: pointer; padding: 4px 0; overflow-wrap: anywhere; }
.states { display: grid; grid-template-columns: 1fr 1fr; gap: 14px; }
pre { margin: 0 0 8px; padding: 8px 10px; background: var(--page); border-radius: 6px; white-space: pre-wrap;
  max-height: 360px; overflow: auto; }
@media (max-width: 640px) { main { padding: 14px 10px; } section { padding: 12px; } .states { grid-template-columns:
  1fr; } .tiles { gap: 8px 22px; } .tiles dd { font-size: 18px; } .tick, .label { font-size: 24px; }
  .mark { font-size: 20px; } }
@media print { section { break-inside: avoid; } }
"""
