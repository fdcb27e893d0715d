"""Training problems and benchmarks by name, from the Hugging Face hub or a local copy, as files that jobs read.

    prepo data dapo-math-17k
    prepo data math --from MATH-lighteval --held_out 500
    prepo data benchmarks --output_dir benchmarks

Training problems become NAME_train.jsonl and NAME_held_out.jsonl with the keys prompt, answer and datasource, without
copies and contradictions; a benchmark becomes the file that `prepo eval --data_dir` looks for. What was dropped is
printed, and written to NAME_report.json.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.table import Table

from prepo_rlhf.config.base import ConfigError
from prepo_rlhf.data_recipes.prepare import Prepared, prepare
from prepo_rlhf.data_recipes.recipes import ALL_BENCHMARKS, RECIPES, recipe_names
from prepo_rlhf.data_recipes.writing import write_files


@dataclass
class DataOptions:
    """Make files of problems that training and evaluation read."""

    name: tyro.conf.Positional[str]
    """A data set: one of those above."""
    source: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """A local copy in place of the hub: a file as it is stored there (Parquet, JSON lines, ...), or its folder."""
    output_dir: str = "./data"
    """Where the files go."""
    held_out: int | None = None
    """Training problems that go into a file of their own, to judge the model by; 200 if not given."""
    seed: int = 42
    """Of the choice of these."""
    overwrite: bool = False
    """Replace files that are there with another content."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and print the tables; 2 when that cannot be done, with the reason on stderr."""
    description = f"{DataOptions.__doc__}\n\n{_names()}"
    options = tyro.cli(DataOptions, args=arguments, use_underscores=True, description=description)
    try:
        names = recipe_names(options.name)
        if not names:
            raise ConfigError(f"no such data set; {_names()}")
        if len(names) > 1 and options.source and not Path(options.source).is_dir():
            raise ConfigError(f"--from {options.source}: give a folder with copies of all benchmarks")
        for name in names:
            prepared = prepare(name, options.source, options.held_out, options.seed)
            write_files(Path(options.output_dir), prepared.files, options.overwrite)
            _print(name, Path(options.output_dir), prepared)
    except ConfigError as error:
        print(f"data {options.name}: {error}", file=sys.stderr)
        return 2
    return 0


def _names() -> str:
    kinds = [[name for name, recipe in RECIPES.items() if recipe.is_benchmark == which] for which in (False, True)]
    return f"training problems: {', '.join(kinds[0])}; benchmarks: {', '.join(kinds[1])}, or `{ALL_BENCHMARKS}` for all"


def _print(name: str, folder: Path, prepared: Prepared) -> None:
    table = Table(name, "rows")
    table.columns[1].justify = "right"
    for what, number in prepared.table:
        table.add_row(what, f"{number:,}")
    Console().print(table)
    for file in prepared.files:
        print((folder / file).absolute())


if __name__ == "__main__":
    sys.exit(main())
