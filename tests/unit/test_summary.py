"""The table that ends the main job."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from prepo_rlhf.cli.summary import main, summarise
from prepo_rlhf.files.step_rows import read_step_rows

ROWS = [
    {"step": 0, "eval/default/avg@4": 0.25, "eval/default/response_length": 9.0},
    {"step": 1, "rollout/total": 1280, "timing/train": 30.0, "timing/generation": 31.0},
    {"step": 2, "rollout/total": 2560, "timing/train": 1.0, "eval/default/avg@4": 0.875},
]


def records(folder: Path, rows: list[dict[str, float]]) -> str:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)
    return text


def test_before_and_after(tmp_path: Path) -> None:
    records(tmp_path, ROWS)
    console = Console(record=True, width=100, file=open("/dev/null", "w"))
    console.print(summarise(read_step_rows(tmp_path / "metrics.jsonl")))
    lines = [line.replace("│", " ").split() for line in console.export_text().splitlines()]
    assert ["default/avg@4", "0.250", "0.875"] in lines
    assert ["rollouts", "generated", "0", "2,560"] in lines
    assert ["training", "time", "0:00:00", "0:01:02"] in lines
    assert not any("response_length" in word for line in lines for word in line)


def test_a_row_that_is_being_written_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = records(tmp_path, [*ROWS, {"step": 3, "eval/default/avg@4": 1.0}])
    (tmp_path / "metrics.jsonl").write_text(text[:-5])
    monkeypatch.setattr("sys.argv", ["summary", str(tmp_path)])
    assert main() == 0
    assert "step 2" in (shown := capsys.readouterr().out) and "step 3" not in shown


def test_a_broken_row_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n{"step": \n{"step": 2}\n')
    monkeypatch.setattr("sys.argv", ["summary", str(tmp_path)])
    assert main() == 2
    assert capsys.readouterr().err.startswith("summary: metrics.jsonl: line 2 is not JSON")


def test_needs_two_evaluations() -> None:
    with pytest.raises(ValueError, match="two evaluations"):
        summarise(ROWS[:2])
