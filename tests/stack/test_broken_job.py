"""A job that breaks, taken up again, has the metrics of the unbroken one. All faults: tests/long/test_faults.py."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from broken_jobs import KILLS, SAVE_STEPS, broken_and_healed, broken_and_resumed, unbroken_metrics
from finished_runs import FinishedRun
from tiny_tasks import job_options, read_metrics, run_job, without_timings

from prepo_rlhf.backends.noise import TOLD_BY_RAYLETS, WARNINGS

NOISE = (*WARNINGS, TOLD_BY_RAYLETS, "Triton not installed", "Started a local Ray instance")


def test_a_broken_job_goes_on_by_itself_and_when_it_is_started_again(finished_run: FinishedRun, tmp_path: Path) -> None:
    """An engine is replaced, after a dead rank all actors start again, after a dead driver it is resumed; with the
    unbroken run's metrics.

    When it is resumed another learning rate and schedule are asked for, which the optimizer does not take: it is said
    so, and recorded truly.
    """
    run_dir, unbroken = tmp_path / "broken", [without_timings(row) for row in read_metrics(finished_run.folder)]
    strikes = [(3, KILLS["rollout engine"]), (6, KILLS["policy rank"])]
    report = broken_and_healed(finished_run.options_in(run_dir), run_dir, strikes, last=(8, KILLS["driver"]))
    assert report.metrics == unbroken[: len(report.metrics)] and len(report.metrics) > 8
    assert report.steps_lost[0] == 0 and report.steps_lost[1] <= SAVE_STEPS
    events = [json.loads(line) for line in (run_dir / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events] == ["engine replaced", "restart"] and events[0]["seconds"] > 0
    for event, part in zip(events, ("rollout engine", "policy rank"), strict=True):
        assert f"{part} 0 died" in event["why"] and report.said[-1].count(f"{part} 0 died") == 1

    others = ["--actor.adam.lr", "0.5", "--actor.lr_scheduler", "constant", "--logger.logging_steps", "2"]
    assert unbroken_metrics([*finished_run.options_in(run_dir), "--ckpt.load_enable", *others], run_dir) == unbroken
    for name, counted in (("run/restarts", [0, 1]), ("run/engines_replaced", [0, 1])):
        assert [row[name] for row in read_metrics(run_dir)][0::12] == counted
    told, options = run_dir.with_suffix(".log").read_text(), yaml.safe_load((run_dir / "config.yaml").read_text())
    assert re.search(rf"Going on after step \d+, from {run_dir}/checkpoints/_actor/global_step\d+\n", told)
    assert "--actor.adam.lr was 0.001 and is now 0.5: the checkpoint's value is kept" in told
    assert "--logger.logging_steps was 1 and is now 2: that takes effect" in told
    assert options["actor"]["adam"]["lr"] == 1e-3 and options["actor"]["lr_scheduler"] == "cosine_with_min_lr"
    assert options["logger"]["logging_steps"] == 2
    assert not [text for text in NOISE if any(text in said for said in (*report.said, told))]


@pytest.mark.long
def test_a_signal_and_a_dead_engine_resumed_by_hand(finished_run: FinishedRun, tmp_path: Path) -> None:
    strikes, run_dir = [(1, KILLS["SIGTERM"]), (4, KILLS["rollout engine"])], tmp_path / "broken"
    report = broken_and_resumed(finished_run.options_in(run_dir), run_dir, strikes)
    assert report.steps_lost[0] == 0 and report.steps_lost[1] <= SAVE_STEPS
    assert report.metrics == [without_timings(row) for row in read_metrics(finished_run.folder)]


@pytest.mark.usefixtures("ray_head")
def test_what_vllms_core_dies_of_is_told_once(
    tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path
) -> None:
    """Weights of 1e30 are finite and reach the engine, whose core then has no probabilities to sample from."""
    options = job_options(tiny_llama, tiny_data, parity_reward, tmp_path / "run", actor__adam__lr=1e30)
    done = run_job([*options, "--train.full_determinism_enable"])
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    told = (
        r"stopped in step 2: vLLM's process of rollout engine 0 died; the last error in its log is ArithmeticError: "
        r"the model's probabilities are not finite.* \(/.*/logs/worker-\w+-\w+-\d+\.out\)\. .*global_step1 is complete"
    )
    assert re.search(told, done.stderr) and "See stack trace" not in done.stderr
    assert done.stderr.count("/logs/worker-") == done.stderr.count("ArithmeticError") == 1
