"""Coverage of subjects by a run, and the tables that show it."""

from __future__ import annotations

from pathlib import Path

import pytest

from prepo_rlhf.config import ConfigError
from prepo_rlhf.evaluation.subject_table import subject_tables
from prepo_rlhf.metrics.coverage import SubjectCoverage, coverage

SUBJECTS = {0: "Algebra", 1: "Algebra", 2: "Geometry", 3: "Level 10", 4: "Level 9"}


def test_prompts_used_and_selections_of_each_subject() -> None:
    assert coverage(SUBJECTS, [0, 2, 0, 3, 0]) == {
        "Algebra": SubjectCoverage(prompts=2, used=1, selections=3),
        "Geometry": SubjectCoverage(prompts=1, used=1, selections=1),
        "Level 9": SubjectCoverage(prompts=1, used=0, selections=0),
        "Level 10": SubjectCoverage(prompts=1, used=1, selections=1),
    }
    assert list(coverage(SUBJECTS, [])) == ["Algebra", "Geometry", "Level 9", "Level 10"]


def test_mistakes_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--subject_key"):
        subject_tables([tmp_path], None)
    with pytest.raises(ConfigError, match=f"--coverage {tmp_path}"):
        subject_tables([tmp_path], "subject")
