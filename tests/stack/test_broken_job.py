"""A job that breaks, taken up again, has the metrics of the unbroken one. All faults: tests/long/test_faults.py."""

from __future__ import annotations

from pathlib import Path

from broken_jobs import KILLS, SAVE_STEPS, broken_and_resumed
from finished_runs import FinishedRun
from tiny_tasks import read_metrics, without_timings


def test_a_signal_and_a_dead_engine(finished_run: FinishedRun, tmp_path: Path) -> None:
    """Stopped by a scheduler, resumed, and broken by a dead engine before it is resumed again."""
    strikes = [(1, KILLS["SIGTERM"]), (4, KILLS["rollout engine"])]
    report = broken_and_resumed(finished_run.options_in(tmp_path / "broken"), tmp_path / "broken", strikes)
    assert report.steps_lost[0] == 0 and report.steps_lost[1] <= SAVE_STEPS
    assert report.metrics == [without_timings(row) for row in read_metrics(finished_run.folder)]
