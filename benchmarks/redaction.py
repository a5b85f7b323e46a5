"""What it costs to take secrets out of a text: linear in the text, whatever the text is, and bounded."""

from __future__ import annotations

from bench import QUIET, Bench
from measure import Contender, Measured
from report import Comparison, Target, bars

SIZES = [2**power for power in range(15, 19)]
"""Characters. Beyond the last of them nothing is looked at."""
BEYOND = SIZES[-1] * 16
TIMES = 20
JOB = """
import sys
from vdk.plugin.datasource_base.parts import Redactor

size, times = int(sys.argv[1]), int(sys.argv[2])
redact = Redactor(secrets=[f"secret-number-{number}" for number in range(20)])
for unit in ("a", "a://b:", "?token=", "secret-number-", "1 a "):
    text = (unit * size)[:size]
    for _ in range(times):
        redact(text)
"""


def measure(bench: Bench) -> list[Comparison]:
    """Texts that a pattern could begin again in at every character, each twice as long as the one before."""
    python = bench.ours / "python"
    measured = bench.measure(
        *(
            Contender(f"{size:,} characters", [python, "-c", JOB, str(size), str(TIMES)], environment=QUIET)
            for size in (0, *SIZES, BEYOND)
        )
    )
    costs = _costs(measured)
    (*_, (_, half), (_, whole), (_, beyond)) = costs
    targets = [
        Target("processor time of a text / of one half as long", whole / half, 2.5),
        Target("that of one 16 times as long as what is looked at / of that", beyond / whole, 1.5),
    ]
    chart = ["", "a text, beyond start-up", *bars(costs, unit="ms")]
    return [Comparison("Redaction", measured, measured[0].name, targets, chart)]


def _costs(measured: list[Measured]) -> list[tuple[str, float]]:
    """Milliseconds of processor time for a text of each size, beyond the start-up."""
    start = measured[0].cpu
    return [(one.name, (one.cpu - start) / TIMES / 5 * 1000) for one in measured[1:]]
