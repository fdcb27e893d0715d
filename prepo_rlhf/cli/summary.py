"""Print what a run has changed: its first evaluation beside its last.

    python -m prepo_rlhf.cli.summary RUN_DIR

Boundary: reads metrics.jsonl; rich.
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from prepo_rlhf.cli.entry import command
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
    until = [[row for row in rows if row["step"] <= last["step"]] for last in (before, after)]
    rollouts = [max(row.get("rollout/total", 0) for row in part) for part in until]
    table.add_row("rollouts generated", *(f"{number:,.0f}" for number in rollouts))
    seconds = [sum(row.get(f"timing/{phase}", 0) for row in part for phase in PHASES) for part in until]
    table.add_row("training time", *(str(timedelta(seconds=round(time))) for time in seconds))  # without evaluations
    return table


@command("summary")
def main() -> int:
    """Print the table; 2 when there is none, with the reason on stderr."""
    about = "Print what a run has changed: its first evaluation beside its last."
    parser = argparse.ArgumentParser(prog="prepo summary", description=about)
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="folder of the run's records (--logger.run_dir)")
    try:
        table = summarise(read_step_rows(parser.parse_args().run_dir / METRICS_FILE))
    except (OSError, ValueError) as error:
        print(f"summary: {error}", file=sys.stderr)
        return 2
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
