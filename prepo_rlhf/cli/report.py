"""Figures, tables and a page from the records of training runs.

    python -m prepo_rlhf.cli.report --runs runs/prepo_1 runs/prepo_2 runs/random_1 --output_dir runs/report
    python -m prepo_rlhf.cli.report --runs runs/* --group "PREPO=prepo_*" --group "Random=random_*" --subject_key band
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import tyro

from prepo_rlhf.analysis.report import write_report
from prepo_rlhf.analysis.runs import Run, find_runs
from prepo_rlhf.analysis.sections.selected_prompts import Subjects
from prepo_rlhf.cli.entry import command
from prepo_rlhf.config.base import ConfigError


@dataclass
class ReportOptions:
    """Write a page about training runs, finished or still going: report.html, with its figures and tables beside it."""

    runs: list[str] = field(default_factory=list)
    """Folders of training runs (--logger.run_dir); of runs/* what is no run is left out, with a note. Required."""
    output_dir: str = "./runs/report"
    """Folder of report.html, figures/*.png and data/*.csv."""
    group: tyro.conf.UseAppendAction[list[str]] = field(default_factory=list)
    """NAME=RUN[,RUN...]: show these runs as one curve of this name; * and ? stand for any text and any character. May
    be given several times. Other runs are one curve where they differ in nothing but --train.seed."""
    subject_key: str | None = None
    """Column of the training data, such as a subject or a level: show which of its values were selected when."""


@command("report")
def main() -> int:
    """Write the report; 2 when it cannot be made, with the reason on stderr."""
    options = tyro.cli(ReportOptions, prog="prepo report", use_underscores=True)
    key = options.subject_key
    subjects = Subjects(key, lambda run: _subjects(run, key)) if key else None
    try:
        runs, left_out = find_runs(options.runs)
        for note in left_out:
            print(f"report: {note}", file=sys.stderr)
        page = write_report(runs, options.output_dir, options.group, subjects)
    except ConfigError as error:
        print(f"report: {error}", file=sys.stderr)
        return 2
    print(page.absolute())
    return 0


def _subjects(run: Run, key: str) -> Mapping[int, str]:
    """The values of a column of the run's dataset; OpenRLHF loads it."""
    from prepo_rlhf.backends.launch import reopen_run
    from prepo_rlhf.prompts.subjects import row_subjects

    return row_subjects(reopen_run(run.folder), key)


if __name__ == "__main__":
    sys.exit(main())
