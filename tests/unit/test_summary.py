"""The table that ends the main job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from prepo_rlhf.cli.summary import read_rows, summarise

ROWS = [
    {"step": 0, "eval/default/avg@4": 0.25, "eval/default/response_length": 9.0},
    {"step": 1, "rollout/total": 1280, "timing/train": 30.0, "timing/generation": 31.0},
    {"step": 2, "rollout/total": 2560, "timing/train": 1.0, "eval/default/avg@4": 0.875},
]


def test_before_and_after(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    console = Console(record=True, width=100, file=open("/dev/null", "w"))
    console.print(summarise(read_rows(tmp_path)))
    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["default/avg@4", "0.250", "0.875"] in lines
    assert ["rollouts", "generated", "0", "2,560"] in lines
    assert ["training", "time", "0:00:00", "0:01:02"] in lines
    assert not any("response_length" in word for line in lines for word in line)


def test_needs_two_evaluations() -> None:
    with pytest.raises(ValueError, match="two evaluations"):
        summarise(ROWS[:2])
