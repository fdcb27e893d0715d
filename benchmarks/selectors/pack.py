"""Keeps the records of a grid's complete runs beside its results: one archive a setting, as small as the results allow.

    python benchmarks/selectors/pack.py --runs runs/selectors --output_dir docs/results/selectors
    tar xJf docs/results/selectors/weak.tar.xz -C runs/selectors      # and back: run_grid.py takes them as complete

Of metrics.jsonl it keeps what `results.py` and the report read, with DIGITS significant digits where it is neither an
accuracy nor a count; of prompts.jsonl the lengths. Paths in config.yaml become relative to the repository. Models, logs
and everything else stay where they are.
Boundary: files of complete runs in, an archive out; a packed run is read by what reads any run.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probe import PROBE_FILE
from results import ACCURACY, SIGNALS
from run_grid import COMPLETE, read_arguments
from settings import ROOT, SETTINGS

from prepo_rlhf.analysis.runs import ROLLOUTS, TOKENS
from prepo_rlhf.analysis.sections import step_metrics, window
from prepo_rlhf.files.step_rows import METRICS_FILE, PHASES, PROMPTS_FILE, read_step_rows

DIGITS = 4  # significant ones; with them the tables of results.py are the same to their last digit
COUNTS = ("step", ROLLOUTS, TOKENS)
CURVES = (step_metrics.SIGNALS, step_metrics.ENTROPY, step_metrics.WEIGHTS)
READ = (
    *(*COUNTS, ACCURACY, *SIGNALS.values()),
    *(metric for section in CURVES for metric in section.panels),
    *(*window.CANDIDATES, *window.SELECTED, window.SELECTED_MEAN),
    *(f"timing/{phase}" for phase in PHASES),
)
KEPT = tuple(dict.fromkeys(READ))


def light_metrics(path: Path) -> bytes:
    """The metrics in KEPT, shortened."""
    return _lines([{name: _shortened(name, row[name]) for name in KEPT if name in row} for row in read_step_rows(path)])


def light_prompts(path: Path) -> bytes:
    """The lengths of each step's prompts, in ascending order: which prompts they were is not kept."""
    return _lines([{"step": row["step"], "lengths": sorted(row["lengths"])} for row in read_step_rows(path)])


def relative_paths(path: Path) -> bytes:
    """The file without this repository's own path."""
    return path.read_bytes().replace(f"{ROOT}/".encode(), b"")


RECORDS: dict[str, Callable[[Path], bytes]] = {
    "config.yaml": relative_paths,
    METRICS_FILE: light_metrics,
    PROMPTS_FILE: light_prompts,
    PROBE_FILE: Path.read_bytes,
    COMPLETE: Path.read_bytes,
}


def pack(runs: Path, setting: str, archive: Path) -> int:
    """Write the archive; returns the number of runs in it, and writes none for none."""
    folders = sorted(marker.parent for marker in (runs / setting).glob(f"*/*/*/{COMPLETE}"))
    if folders:
        with tarfile.open(archive, "w:xz", preset=9) as tar:
            for record, lightened in RECORDS.items():  # like beside like compresses better
                for folder in folders:
                    content = lightened(folder / record)
                    entry = tarfile.TarInfo(str((folder / record).relative_to(runs)))
                    entry.size = len(content)  # no times or owners: equal runs, equal archives
                    tar.addfile(entry, io.BytesIO(content))
    return len(folders)


def _lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows).encode()


def _shortened(name: str, value: float) -> float:
    return value if name in (*COUNTS, ACCURACY) else float(f"{value:.{DIGITS}g}")


def main() -> None:
    args = read_arguments(__doc__)
    for setting in SETTINGS:
        archive = args.output_dir / f"{setting}.tar.xz"
        print(f"{archive}: {pack(args.runs.resolve(), setting, archive)} runs")


if __name__ == "__main__":
    main()
