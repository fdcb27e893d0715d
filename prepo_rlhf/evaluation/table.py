"""Results of benchmarks as Markdown tables.

Boundary: formats the numbers of `metrics`; computes none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prepo_rlhf.metrics.coverage import natural_order

Row = tuple[str, int, Mapping[str, float]]  # name, number of problems, summary
ABSENT = "–"
GRADING = {"unparsable_ratio": "Unparsable", "timeout_ratio": "Timeouts"}  # what the math verifier logs


def results_tables(results: Mapping[str, Mapping[str, Any]]) -> str:
    """A Markdown table of all benchmarks, then one for the subjects and one for the levels of each that has them.

    `results`: benchmark -> {"num_problems": int, "overall": `summarise`'s result, "subject" and "level":
    `summarise_by`'s, empty for a benchmark without}. Benchmarks may differ in n; a pass@k or maj@n that a row lacks is
    a dash.
    """
    overall = [(name, result["num_problems"], result["overall"]) for name, result in results.items()]
    parts = [_table("Benchmark", overall)]
    for name, result in results.items():
        for attribute in ("subject", "level"):
            if groups := result[attribute]:
                names = sorted(groups, key=natural_order)
                rows = [(group, int(groups[group]["num_problems"]), groups[group]) for group in names]
                parts.append(f"### {name} by {attribute}\n\n{_table(attribute.capitalize(), rows)}")
    return "\n".join(parts)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column aligned left and the others right; ends with a newline."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def percent(share: float | None) -> str:
    """A share as a percentage with one decimal, a dash for None."""
    return ABSENT if share is None else f"{100 * share:.1f}%"


def interval(low: str, high: str) -> str:
    """An interval as it follows a value: nothing where one problem, or as good as equal ones, leave none to tell."""
    return "" if low == high else f" [{low}, {high}]"


def _table(kind: str, rows: Sequence[Row]) -> str:
    summaries = [summary for _, _, summary in rows]
    ks = sorted({int(key.removeprefix("pass@")) for keys in summaries for key in keys if key.startswith("pass@")})
    votes = any(key.startswith("maj@") for keys in summaries for key in keys)
    graded = [column for column in GRADING if any(column in keys for keys in summaries)]
    header = [kind, "Problems", "n", "avg@n [95% interval]", *(f"pass@{k}" for k in ks), *["maj@n"] * votes]
    cells = []
    for name, num_problems, summary in rows:
        n = max(k for k in ks if f"pass@{k}" in summary)
        low, high = 100 * summary[f"avg@{n}_low"], 100 * summary[f"avg@{n}_high"]
        average = percent(summary[f"avg@{n}"]) + interval(f"{low:.1f}", f"{high:.1f}")
        row = [name, str(num_problems), str(n), average, *(percent(summary.get(f"pass@{k}")) for k in ks)]
        row += [percent(summary.get(f"maj@{n}"))] * votes
        row += [f"{summary['response_length']:.0f}", percent(summary["truncated_ratio"])]
        cells.append(row + [percent(summary.get(column)) for column in graded])
    return markdown_table([*header, "Mean length", "Truncated", *(GRADING[column] for column in graded)], cells)
