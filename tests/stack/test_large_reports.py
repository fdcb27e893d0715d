"""Reports of many runs, and one that needs the training stack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image
from report_pages import assert_is_a_drawing, pictures, read_page
from tiny_runs import lifelike_run

from prepo_rlhf.analysis.report import write_report


def test_twenty_runs_in_five_curves(tmp_path: Path) -> None:
    arms = [("prepo", "relative"), ("prepo", "none"), ("random", "none"), ("low-ppl", "none"), ("high-ppl", "none")]
    folders = [
        str(lifelike_run(tmp_path / f"{arm}_{seed}", seed, selector=selector, prepo__entropy_weight=weight))
        for arm, (selector, weight) in enumerate(arms)
        for seed in range(4)
    ]
    page = read_page(write_report(folders, str(tmp_path / "out")))
    assert "20 runs in 5 curves." in page.texts["p"]
    cells = page.texts["td"]
    assert [f"{selector}, entropy_weight={weight}" in cells for selector, weight in arms] == [True] * 5
    assert cells.count("0, 1, 2, 3") == 5
    windows = sorted(path.name for path in (tmp_path / "out" / "figures").glob("window_*"))
    assert len(windows) == 4 and not any("random" in name for name in windows)
    for png in pictures(page):
        assert_is_a_drawing(png)


def test_twenty_curves(tmp_path: Path) -> None:
    folders = [str(lifelike_run(tmp_path / f"run{i}", 0, steps=10, rollout__batch_size=16 + i)) for i in range(20)]
    page = read_page(write_report(folders, str(tmp_path / "out")))
    assert "20 runs in 20 curves." in page.texts["p"]
    accuracy, plain = (Image.open(tmp_path / "out" / "figures" / name) for name in (
        "accuracy_default_avg@4_rollouts.png", "window_1_prepo_batch_size_16.png",
    ))  # fmt: skip
    assert accuracy.height > plain.height + 200  # the legend lies below the panel, which keeps its size


def test_data_that_is_gone_ends_the_command_with_2_and_a_line(tmp_path: Path) -> None:
    """To load it takes the training stack."""
    lifelike_run(tmp_path / "run", seed=1, steps=3, data__prompt_dataset="gone.jsonl")
    command = [sys.executable, "-m", "prepo_rlhf.cli.report", "--runs", "run", "--subject_key", "topic"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "report: --data.prompt_dataset gone.jsonl: there is no such file" in done.stderr
    assert "Traceback" not in done.stderr
