"""Which subjects a training run has given rollouts to: the diversity check of PREPO (arXiv 2511.00794).

Joins a run's prompts.jsonl with the rows of its dataset, found by the run's config.yaml.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prepo_rlhf.config import Config, ConfigError, from_yaml
from prepo_rlhf.evaluation.table import markdown_table, natural_order, percent
from prepo_rlhf.files.rows import complete_lines, lookup
from prepo_rlhf.files.step_rows import PROMPTS_FILE


@dataclass(frozen=True)
class SubjectCoverage:
    """One subject: its prompts in the dataset, how many of them got rollouts, and how often any of them was chosen."""

    prompts: int
    used: int
    selections: int


def coverage(subjects: Mapping[int, str], selected: Iterable[int]) -> dict[str, SubjectCoverage]:
    """Coverage of every subject, in the natural order of their names.

    Args:
        subjects: row of the dataset -> its subject.
        selected: rows that got rollouts, a row as often as it was chosen.
    """
    times = Counter(selected)
    prompts = Counter(subjects.values())
    used = Counter(subjects[row] for row in times)
    selections: Counter[str] = Counter()
    for row, count in times.items():
        selections[subjects[row]] += count
    names = sorted(prompts, key=natural_order)
    return {name: SubjectCoverage(prompts[name], used[name], selections[name]) for name in names}


def coverage_tables(run_dirs: list[Path], subject_key: str | None) -> str:
    """A Markdown table for each run.

    Raises:
        ConfigError: no subject key, no such run, or a dataset without such a column.
    """
    if not subject_key:
        raise ConfigError("--coverage needs --subject_key: name the column of the subject in the training data")
    return "\n".join(f"### {folder}\n\n{_table(_run_coverage(folder, subject_key))}" for folder in run_dirs)


def _run_coverage(run_dir: Path, subject_key: str) -> dict[str, SubjectCoverage]:
    if not (run_dir / PROMPTS_FILE).is_file():
        raise ConfigError(f"--coverage {run_dir}: there is no {PROMPTS_FILE} of a training run in it")
    selected = [row for line in complete_lines(run_dir / PROMPTS_FILE) for row in json.loads(line)["rows"]]
    return coverage(row_subjects(from_yaml(run_dir / "config.yaml"), subject_key), selected)


def row_subjects(config: Config, subject_key: str) -> dict[int, str]:
    """Row of the run's dataset -> its subject, what `subject_key` names in it.

    Raises:
        ConfigError: the dataset cannot be loaded, or has no such column.
    """
    from prepo_rlhf.backends.launch import apply_backend

    apply_backend(config)  # before OpenRLHF, which reads the dataset, is imported
    from prepo_rlhf.prompts.load import load_rows

    rows = load_rows(config)
    try:
        return {number: str(lookup(row, subject_key)) for number, row in enumerate(rows)}
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"--subject_key {subject_key}: {config.data.prompt_dataset} has no such key, but "
            f"{', '.join(rows.column_names)}"
        ) from error


def _table(subjects: Mapping[str, SubjectCoverage]) -> str:
    total = SubjectCoverage(
        prompts=sum(subject.prompts for subject in subjects.values()),
        used=sum(subject.used for subject in subjects.values()),
        selections=sum(subject.selections for subject in subjects.values()),
    )
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
