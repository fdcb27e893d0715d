"""How often a job starts again by itself, and what it records of that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_tasks import gpu_config

from prepo_rlhf.config import GivenConfig
from prepo_rlhf.trainer.restarts import Restarts
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped


@pytest.fixture
def restarts(tmp_path: Path) -> Restarts:
    options = {"logger.run_dir": str(tmp_path), "actor.model_name_or_path": "m", "train.max_restarts": 2}
    return Restarts(gpu_config(GivenConfig().replaced(options)))


def fault(step: int, why: str = "rollout engine 0 died (/tmp/logs/worker-1-23.out)") -> PartDied:
    return PartDied(f"stopped in step {step + 1}: {why}", step, why)


def break_and_recover(restarts: Restarts, *steps: int) -> None:
    for number, step in enumerate(steps):
        restarts.allow(fault(step, f"{'abcdef'[number]} died"))
        restarts.recovered(max(0, step - 1))


def test_a_finished_step_allows_as_many_again(restarts: Restarts) -> None:
    break_and_recover(restarts, 1, 1, 2, 2, 3)
    assert restarts.metrics()["run/restarts"] == 5 and not restarts.recovering


def test_one_too_many_without_a_finished_step(restarts: Restarts) -> None:
    break_and_recover(restarts, 4, 4)
    with pytest.raises(PartDied, match="stopped in step 5: x"):
        restarts.allow(fault(4, "x"))


def test_a_step_that_is_made_again_is_no_progress(restarts: Restarts) -> None:
    break_and_recover(restarts, 5, 4)
    with pytest.raises(PartDied, match="stopped in step 6: x"):
        restarts.allow(fault(5, "x"))


def test_the_same_fault_twice_in_a_step_would_come_again(restarts: Restarts) -> None:
    restarts.allow(fault(3))
    restarts.recovered(3)
    with pytest.raises(TrainingStopped, match="second time in succession") as stopped:
        restarts.allow(fault(3, "rollout engine 0 died (/tmp/logs/worker-7-89.out)"))
    assert not isinstance(stopped.value, PartDied)


def test_a_node_that_stays_away_is_waited_for_as_often_as_allowed(restarts: Restarts) -> None:
    """The same words, without a recovery between them."""
    restarts.allow(fault(3, "its node is gone"))
    restarts.allow(fault(3, "its node is gone"))
    with pytest.raises(PartDied):
        restarts.allow(fault(3, "its node is gone"))


def test_without_ray_there_is_no_restart(restarts: Restarts) -> None:
    with pytest.raises(PartDied, match="Ray itself is gone"):
        restarts.allow(PartDied("stopped in step 2: x died. Ray itself is gone", 1, "x died", for_good=True))


def test_events_are_counted_over_all_starts(restarts: Restarts, tmp_path: Path) -> None:
    restarts.recovered(0)  # of a job that nothing has befallen
    assert restarts.metrics()["run/restarts"] == 0
    restarts.allow(fault(7))
    assert restarts.recovering
    restarts.recovered(6)
    [line] = (tmp_path / "events.jsonl").read_text().splitlines()
    event = json.loads(line)
    assert {name: event[name] for name in ("event", "step", "steps_lost")} == {
        "event": "restart", "step": 7, "steps_lost": 1,
    }  # fmt: skip
    assert event["why"].startswith("rollout engine 0 died") and event["seconds"] >= 0
    assert restarts.metrics()["run/restarts"] == 1
