"""Processes of a job from outside, on real Ray: who is waited for, their stacks, their end. Whole jobs: tests/long."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.exceptions import ActorDiedError
from worker_processes import wait_until

from prepo_rlhf.ray import parts as parts_of_job
from prepo_rlhf.ray import progress, stacks
from prepo_rlhf.ray.parts import Parts


@ray.remote(num_cpus=0)
class Rank:
    """Computes nothing, and has a child process, as an engine has its core."""

    def start(self) -> tuple[int, int]:
        progress.tell()
        stacks.keep_ready()
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        return os.getpid(), child.pid

    def train(self, steps: int) -> None:
        for _ in range(steps):
            progress.moved()
            time.sleep(0.1)

    def wait_for_another(self) -> None:
        time.sleep(600)


@pytest.fixture
def ranks(ray_head: str) -> Iterator[list[Any]]:
    """Two of them."""
    ray.init(address=ray_head, log_to_driver=False)
    yield [Rank.remote(), Rank.remote()]
    ray.shutdown()


def test_a_rank_that_is_stopped_in_a_call_is_found_and_ended(ranks: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """And the other one, which waits for it, is not while it moves."""
    monkeypatch.setattr(parts_of_job, "ANSWER", 6)
    parts = Parts(lambda: {"policy rank": ranks, "reference rank": []})
    (pid, child), (other, _) = ray.get([rank.start.remote() for rank in ranks])
    before = parts.progress()
    ray.get([rank.train.remote(5) for rank in ranks])
    assert wait_until(lambda: all(parts.progress()[rank] != before[rank] for rank in before), 10)
    assert parts.waited_for() == []
    call = ranks[0].wait_for_another.remote()
    assert parts.waited_for() == ["policy rank 0"]
    for process in (pid, child):
        psutil.Process(process).suspend()
    found = {stack.pid: stack for stack in parts.stacks()}
    assert (found[pid].part, found[pid].title, found[pid].state) == ("policy rank 0", "", "stopped")
    assert (found[child].part, found[child].title, found[child].state) == ("policy rank 0", sys.executable, "stopped")
    assert found[other].part == "policy rank 1" and found[other].state in ("sleeping", "running")  # Ray's own threads
    assert "wait_for_another" in found[pid].text and "wait_for_another" not in found[other].text
    parts.end(["policy rank 0"], "hang")
    with pytest.raises(ActorDiedError):
        ray.get(call)
    assert parts.ended == {ranks[0]._actor_id.hex(): "hang"}
    assert wait_until(lambda: not any(map(psutil.pid_exists, (pid, child))), 10)
    assert ray.get(ranks[1].start.remote())[0] == other and parts.waited_for() == []
    parts.forget()
    assert list(parts.progress().values()) == [None]


@pytest.mark.long
def test_without_py_spy_a_process_writes_its_stacks_itself(
    ranks: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless it is stopped, or has not made itself ready: the signal would end it."""
    (pid, child), (stopped, _) = ray.get([rank.start.remote() for rank in ranks])
    calls = [rank.wait_for_another.remote() for rank in ranks]
    assert not ray.wait(calls, timeout=1)[0]
    monkeypatch.setattr(stacks.sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    psutil.Process(stopped).suspend()
    found = {stack.pid: stack.text for stack in stacks.of_node({"policy rank 0": pid, "policy rank 1": stopped})}
    assert "in wait_for_another" in found[pid] and "most recent call first" in found[pid]
    assert found[stopped] == "no stacks: the process is stopped, and py-spy cannot look into it\n"
    assert found[child].startswith("no stacks: py-spy cannot look into the process") and psutil.pid_exists(child)
    psutil.Process(stopped).resume()
