"""When a job counts as hanging, who is ended then, and what is told; real processes: tests/stack, tests/long."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ray.exceptions import RayError, RayTaskError
from test_fault_messages import RANKS, handles
from tiny_tasks import gpu_config

from prepo_rlhf.config import GivenConfig
from prepo_rlhf.ray.faults import Faults
from prepo_rlhf.ray.stacks import Stack
from prepo_rlhf.trainer.hang_watch import HangWatch
from prepo_rlhf.trainer.restarts import Restarts
from prepo_rlhf.trainer.stopped import PartDied, TrainingStopped

CORE = Stack("rollout engine 1", "VLLM::EngineCore", 77, "stopped", "Thread 77\n")


@dataclass
class Parts:
    """Parts of a job whose progress is a number, and what has become of them."""

    moves: int = 0
    waits_for: list[str] = field(default_factory=lambda: ["rollout engine 1"])
    moves_when_asked: bool = False
    ended: dict[str, str] = field(default_factory=dict)
    forgotten: bool = False

    def progress(self) -> int:
        return self.moves

    def waited_for(self) -> list[str]:
        self.moves += self.moves_when_asked
        return self.waits_for

    def stacks(self) -> list[Stack]:
        return [Stack("rollout engine 1", "", 76, "sleeping", "Thread 76\n"), CORE]

    def end(self, names: Sequence[str], why: str) -> None:
        self.ended |= dict.fromkeys(names, why)

    def forget(self) -> None:
        self.forgotten = True


def watch_of(parts: Parts, run_dir: Path, minutes: float = 2) -> HangWatch:
    options = {"logger.run_dir": str(run_dir), "train.hang_timeout": minutes, "actor.model_name_or_path": "m"}
    watch = HangWatch(gpu_config(GivenConfig().replaced(options)), parts)
    watch.look(0)
    return watch


def test_the_part_that_is_waited_for_is_ended(tmp_path: Path) -> None:
    parts = Parts()
    watch = watch_of(parts, tmp_path)
    with watch.during("evaluation"):
        watch.look(119)
        assert not parts.ended
        watch.look(120)
    [(name, why)] = parts.ended.items()
    assert name == "rollout engine 1"
    assert why == (
        "hang: nothing has moved for 2 minutes in evaluation; waited for rollout engine 1; VLLM::EngineCore of rollout "
        f"engine 1 is stopped; stacks in {tmp_path}/hang-1"
    )
    files = {path.name: path.read_text() for path in (tmp_path / "hang-1").iterdir()}
    assert "test_hang_watch.py" in files.pop("driver.txt")
    assert files == {
        "rollout-engine-1.txt": "rollout engine 1: sleeping\nThread 76\n",
        "rollout-engine-1-process-77.txt": "VLLM::EngineCore of rollout engine 1: stopped\nThread 77\n",
    }


def test_no_alarm_while_something_moves(tmp_path: Path) -> None:
    parts = Parts()
    watch = watch_of(parts, tmp_path)
    for now in range(100, 1000, 100):
        parts.moves += 1
        watch.look(now)
    watch.look(1019)
    assert not parts.ended and not list(tmp_path.iterdir())


@pytest.mark.parametrize("parts", [Parts(waits_for=[]), Parts(moves_when_asked=True)], ids=["driver", "late"])
def test_no_alarm_while_the_driver_computes_or_something_has_moved_at_last(parts: Parts, tmp_path: Path) -> None:
    """And the time begins anew."""
    watch = watch_of(parts, tmp_path)
    watch.look(120)
    parts.waits_for, parts.moves_when_asked = ["policy rank 0"], False
    watch.look(239)
    assert not parts.ended
    watch.look(240)
    assert list(parts.ended) == ["policy rank 0"]


def test_a_second_hang_has_a_folder_of_its_own_and_counts_as_the_same_fault(tmp_path: Path) -> None:
    parts = Parts()
    whys = []
    for _ in range(2):
        watch_of(parts, tmp_path).look(500)
        whys.append(parts.ended.pop("rollout engine 1"))
    assert whys[1].endswith("hang-2") and (tmp_path / "hang-2").is_dir()
    restarts = Restarts(gpu_config(GivenConfig().replaced({"logger.run_dir": str(tmp_path)})))
    restarts.allow(PartDied(whys[0], 3, whys[0]))
    restarts.recovered(3)
    with pytest.raises(TrainingStopped, match="second time in succession"):
        restarts.allow(PartDied(whys[1], 3, whys[1]))


def test_stacks_that_cannot_be_kept_do_not_keep_the_hang(tmp_path: Path) -> None:
    parts, file = Parts(), tmp_path / "file"
    file.touch()
    watch_of(parts, file).look(500)
    assert "the stacks could not be kept in" in parts.ended["rollout engine 1"]


def test_it_watches_beside_the_job_and_goes_on_where_ray_does_not_answer(tmp_path: Path) -> None:
    @dataclass
    class Shy(Parts):
        asked: int = 0

        def waited_for(self) -> list[str]:
            self.asked += 1
            if self.asked == 1:
                raise RayError("busy")
            return super().waited_for()

    parts = Shy()
    with watch_of(parts, tmp_path, minutes=0.001):
        deadline = time.monotonic() + 30
        while not parts.ended and time.monotonic() < deadline:
            time.sleep(0.01)
    assert parts.ended and parts.forgotten
    assert "hang_watch" not in [thread.name for thread in threading.enumerate()]


def test_0_switches_it_off(tmp_path: Path) -> None:
    with watch_of(Parts(), tmp_path, minutes=0):
        assert "hang_watch" not in [thread.name for thread in threading.enumerate()]


def test_the_error_that_follows_is_told_as_the_hang() -> None:
    """Whatever the actor that was ended raised in its last moment; others are told as ever."""
    ended = {RANKS[1]: "hang: nothing has moved"}
    faults = Faults({"policy rank": handles()}, ended)
    other, hung = (
        RayTaskError("fit", f"ray::fit() (actor_id={rank})", ValueError("its own"), actor_id=rank) for rank in RANKS
    )
    assert faults.describe(hung) == ended[RANKS[1]] and faults.part_died(hung, ended[RANKS[1]])
    assert faults.describe(other) == "ValueError: its own" and not faults.part_died(other, "ValueError: its own")
