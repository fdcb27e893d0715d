"""What the comparisons print and write: a column for each side or length, a row for each number."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table


def report(title: str, columns: Mapping[str, Mapping[str, float]], args: argparse.Namespace) -> None:
    """Print the table, and write it as JSON with the settings of the run where `--output` asks for it."""
    table = Table(title, *columns)
    for name in next(iter(columns.values())):
        table.add_row(name, *(f"{column[name]:.3g}" for column in columns.values()))
    Console().print(table)
    if args.output:
        settings = {name: value for name, value in vars(args).items() if name != "output"}
        args.output.write_text(json.dumps({"settings": settings, title: columns}, indent=2) + "\n")
