"""Which subjects training runs have given rollouts to, as Markdown: what `eval_math --coverage` prints.

Joins a run's prompts.jsonl with the rows of its dataset, found by the run's config.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.table import markdown_table, percent
from prepo_rlhf.files.step_rows import PROMPTS_FILE, read_step_rows
from prepo_rlhf.metrics.coverage import SubjectCoverage, coverage


def subject_tables(run_dirs: list[Path], subject_key: str | None) -> str:
    """A Markdown table for each run; ConfigError without a subject key, such a run or such a column of its dataset."""
    if not subject_key:
        raise ConfigError("--coverage needs --subject_key: name the column of the subject in the training data")
    return "\n".join(f"### {folder}\n\n{_table(_run_coverage(folder, subject_key))}" for folder in run_dirs)


def _run_coverage(run_dir: Path, subject_key: str) -> dict[str, SubjectCoverage]:
    try:
        rows = read_step_rows(run_dir / PROMPTS_FILE)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--coverage {run_dir}: no {PROMPTS_FILE} of a training run can be read ({error})") from error
    from prepo_rlhf.backends.launch import reopen_run
    from prepo_rlhf.prompts.subjects import row_subjects

    return coverage(row_subjects(reopen_run(run_dir), subject_key), [number for row in rows for number in row["rows"]])


def _table(subjects: Mapping[str, SubjectCoverage]) -> str:
    prompts, used, selections = (sum(counts) for counts in zip(*subjects.values(), strict=True))
    total = SubjectCoverage(prompts, used, selections)
    rows = [
        [
            name,
            str(subject.prompts),
            percent(subject.prompts / total.prompts),
            str(subject.used),
            percent(subject.used / subject.prompts),
            percent(subject.selections / total.selections if total.selections else None),
        ]
        for name, subject in [*subjects.items(), ("all", total)]
    ]
    header = ["Subject", "Prompts", "Share of data", "Used", "Used of its prompts", "Share of selections"]
    return markdown_table(header, rows)
