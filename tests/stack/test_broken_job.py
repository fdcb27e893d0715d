"""A job that breaks, taken up again, has the metrics of the unbroken one. All faults: tests/long/test_faults.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from broken_jobs import KILLS, SAVE_STEPS, broken_and_resumed, fault_options, unbroken_metrics


def test_a_signal_and_a_dead_engine(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> None:
    """One job of 12 steps, stopped by a scheduler, resumed, and broken by a dead engine before it is resumed again."""
    options_in = partial(fault_options, tiny_llama, tiny_data, parity_reward, train__num_episodes=2)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    strikes = [(1, KILLS["SIGTERM"]), (4, KILLS["rollout engine"])]
    report = broken_and_resumed(options_in(broken), broken, strikes)
    assert report.steps_lost[0] == 0 and report.steps_lost[1] <= SAVE_STEPS
    assert report.metrics == unbroken_metrics(options_in(whole), whole)
