"""Print what a run has changed: its first evaluation beside its last.

    python -m prepo_rlhf.cli.summary RUN_DIR

Boundary: reads metrics.jsonl; rich.
"""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prepo_rlhf.files.step_rows import METRICS_FILE, PHASES, read_step_rows

Row = dict[str, float]


def summarise(rows: list[Row]) -> Table:
    """A table of every avg@n and pass@k, before and after, and of what the run cost; ValueError for fewer than two
    evaluations."""
    evaluations = [row for row in rows if any(name.startswith("eval/") for name in row)]
    if len(evaluations) < 2:
        raise ValueError("the run has fewer than two evaluations: nothing to compare")
    before, after = evaluations[0], evaluations[-1]
    table = Table("Held-out problems", f"step {before['step']}", f"step {after['step']}")
    for name in before:
        if re.fullmatch(r"eval/.+/(avg|pass)@\d+", name):
            table.add_row(name.removeprefix("eval/"), f"{before[name]:.3f}", f"{after[name]:.3f}")
    table.add_section()
    for label, cost in (("rollouts generated", rollouts), ("training time", training_time)):
        table.add_row(label, cost(rows, before["step"]), cost(rows, after["step"]))
    return table


def rollouts(rows: list[Row], step: float) -> str:
    """Sequences generated for training until `step`."""
    return f"{max((row.get('rollout/total', 0) for row in rows if row['step'] <= step), default=0):,.0f}"


def training_time(rows: list[Row], step: float) -> str:
    """Time of all phases of the steps until `step`, evaluations left out, as h:mm:ss."""
    times = (row.get(f"timing/{phase}", 0) for row in rows if row["step"] <= step for phase in PHASES)
    return str(timedelta(seconds=round(sum(times))))


def main() -> int:
    """Print the table; 2 when there is none, with the reason on stderr."""
    if len(sys.argv) != 2:
        print("usage: python -m prepo_rlhf.cli.summary RUN_DIR", file=sys.stderr)
        return 2
    try:
        table = summarise(read_step_rows(Path(sys.argv[1], METRICS_FILE)))
    except (OSError, ValueError) as error:
        print(f"summary: {error}", file=sys.stderr)
        return 2
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
