"""The report: from the folders of runs to a page, with its pictures and tables beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from prepo_rlhf.analysis.groups import Group, make_groups
from prepo_rlhf.analysis.page import render
from prepo_rlhf.analysis.runs import read_runs
from prepo_rlhf.analysis.section import Section
from prepo_rlhf.analysis.sections import (
    accuracy,
    overview,
    pass_rate,
    predictions,
    selected_prompts,
    step_metrics,
    timing,
    window,
)
from prepo_rlhf.analysis.style import house_style, looks
from prepo_rlhf.config.base import ConfigError

PAGE_FILE, FIGURES, DATA = "report.html", "figures", "data"
NAMED = 3  # curves in the page's title


def write_report(
    folders: Sequence[str],
    output_dir: str,
    requests: Sequence[str] = (),
    subjects: selected_prompts.Subjects | None = None,
) -> Path:
    """Write report.html, figures/*.png and data/*.csv into `output_dir`, and return the page's path.

    `requests` are groups that the user asks for, as NAME=RUN. Raises ConfigError if a folder holds no run, or the
    report cannot be written.
    """
    groups = make_groups(read_runs(folders), requests)
    output = Path(output_dir)
    try:
        for folder in (output, output / FIGURES, output / DATA):
            folder.mkdir(parents=True, exist_ok=True)
        sections = make_sections(groups, subjects)
        for section in sections:
            for picture in section.pictures:
                (output / FIGURES / f"{picture.name}.png").write_bytes(picture.png)
            for name, table in section.data.items():
                table.to_csv(output / DATA / f"{name}.csv", index=False)
        page = output / PAGE_FILE
        runs = sum(len(group.runs) for group in groups)
        summary = f"{runs} run{'s' * (runs > 1)} in {len(groups)} curve{'s' * (len(groups) > 1)}."
        page.write_text(render(_title(groups), summary, sections), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--output_dir {output_dir}: the report can't be written there ({error})") from error
    return page


def _title(groups: Sequence[Group]) -> str:
    """What tells this page from other reports in a browser's tabs."""
    names = [group.runs[0].name if len(group.runs) == 1 else group.name for group in groups]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"Training runs: {'; '.join(names[:NAMED])}{more}"


def make_sections(groups: Sequence[Group], subjects: selected_prompts.Subjects | None) -> list[Section]:
    """All parts of the report, in their order."""
    shown = looks([group.name for group in groups])
    with house_style():
        return [
            overview.section(groups),
            accuracy.section(groups, shown),
            step_metrics.section(groups, shown, step_metrics.SIGNALS),
            step_metrics.section(groups, shown, step_metrics.ENTROPY),
            window.section(groups),
            pass_rate.section(groups),
            predictions.section(groups),
            step_metrics.section(groups, shown, step_metrics.WEIGHTS),
            timing.section(groups),
            selected_prompts.section(groups, shown, subjects),
        ]
