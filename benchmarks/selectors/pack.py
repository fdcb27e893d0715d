"""Keeps the records of a grid's complete runs beside its results: one archive a setting.

    python benchmarks/selectors/pack.py --runs runs/selectors --output_dir docs/results/selectors
    tar xJf docs/results/selectors/weak.tar.xz -C runs/selectors      # and back: run_grid.py takes them as complete

Paths in config.yaml become relative to the repository. Models and logs stay where they are.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from methods import ROOT, SETTINGS
from probe import PROBE_FILE
from run_grid import COMPLETE, read_arguments

from prepo_rlhf.files.step_rows import METRICS_FILE, PROMPTS_FILE

RECORDS = ("config.yaml", METRICS_FILE, PROMPTS_FILE, PROBE_FILE, COMPLETE)


def pack(runs: Path, setting: str, archive: Path) -> int:
    """Write the archive; returns the number of runs in it, and writes none for none."""
    folders = sorted(marker.parent for marker in (runs / setting).glob(f"*/*/*/{COMPLETE}"))
    if folders:
        with tarfile.open(archive, "w:xz", preset=9) as tar:
            for path in (folder / record for folder in folders for record in RECORDS):
                content = path.read_bytes().replace(f"{ROOT}/".encode(), b"")
                entry = tarfile.TarInfo(str(path.relative_to(runs)))  # no times or owners: equal runs, equal archives
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return len(folders)


def main() -> None:
    args = read_arguments(__doc__)
    for setting in SETTINGS:
        archive = args.output_dir / f"{setting}.tar.xz"
        print(f"{archive}: {pack(args.runs.resolve(), setting, archive)} runs")


if __name__ == "__main__":
    main()
