"""Whatever breaks, a job says what to do, and taken up again it has the metrics of the unbroken one.

Each fault once; five times each, with the steps that were lost: pytest tests/faults -m long -rP
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from broken_jobs import (
    Fault,
    FullDisk,
    Kill,
    KillDriver,
    KillRaylet,
    RewardServerGone,
    SpoilNewestCheckpoint,
    Terminate,
    broken_and_resumed,
)
from running_jobs import running_job
from tiny_tasks import job_options, read_metrics, without_timings

pytestmark = pytest.mark.slow

SAVE_STEPS = 2
KILLS = {
    "policy rank": Kill("ray::PolicyActor", r"policy rank 0 died.*(--ckpt.load_enable goes on|no checkpoint yet)"),
    "rollout engine": Kill("ray::RolloutEngine", r"rollout engine 0 died.*global_step\d+ is complete"),
    "vLLM's core": Kill("VLLM::EngineCore", r"(Engine|rollout engine 0 died).*global_step\d+ is complete"),
    "driver": KillDriver(),
    "raylet": KillRaylet(),
    "SIGTERM": Terminate(),
    "checkpoint cut short": SpoilNewestCheckpoint(),
}

MakeOptions = Callable[..., list[str]]


@pytest.fixture(scope="module")
def options_in(tiny_llama: str, tiny_data: str, parity_reward: str) -> MakeOptions:
    """Options of a deterministic job of 24 steps, four epochs, with a checkpoint every two steps.

    A step takes a fifth of a second: some must be left when a fault has struck, or the job ends as if nothing had.
    """

    def make(folder: Path, **changes: Any) -> list[str]:
        common = {"train__num_episodes": 4, "ckpt__save_steps": SAVE_STEPS, "train__full_determinism_enable": True}
        return job_options(tiny_llama, tiny_data, parity_reward, folder, **(common | changes))

    return make


def metrics_of(options: list[str], folder: Path) -> list[dict[str, float]]:
    with running_job(options, folder) as job:
        code, said = job.end()
    assert code == 0, said
    return [without_timings(row) for row in read_metrics(folder)]


@pytest.fixture(scope="module")
def unbroken(options_in: MakeOptions, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    folder = tmp_path_factory.mktemp("unbroken")
    return metrics_of(options_in(folder), folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with 40 MiB of its own. Needs root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def strike_often(fault: Fault, options: list[str], folder: Path, times: int = 5) -> list[dict[str, float]]:
    """From step 5 on, where there are two checkpoints, and every third step."""
    report = broken_and_resumed(options, folder, [(5 + 3 * i, fault) for i in range(times)])
    print(f"{fault.__doc__.splitlines()[0]} {times} times; steps lost {report.steps_lost}")
    return report.metrics


def test_a_signal_and_a_dead_engine(options_in: MakeOptions, tmp_path: Path) -> None:
    """One job of 12 steps, stopped by a scheduler, resumed, and broken by a dead engine before it is resumed again."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    strikes = [(1, KILLS["SIGTERM"]), (4, KILLS["rollout engine"])]
    report = broken_and_resumed(options_in(broken, train__num_episodes=2), broken, strikes)
    assert report.steps_lost[0] == 0 and report.steps_lost[1] <= SAVE_STEPS
    assert report.metrics == metrics_of(options_in(whole, train__num_episodes=2), whole)


@pytest.mark.long
@pytest.mark.parametrize("name", KILLS)
def test_five_times(
    name: str, unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path
) -> None:
    assert strike_often(KILLS[name], options_in(tmp_path / "broken"), tmp_path / "broken") == unbroken


@pytest.mark.long
def test_a_reward_server_that_goes_away(
    unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path
) -> None:
    fault = RewardServerGone()
    options = options_in(tmp_path / "broken", reward__remote_url=fault.url)
    for row, expected in zip(strike_often(fault, options, tmp_path / "broken"), unbroken, strict=True):
        assert row == {name: value for name, value in expected.items() if name != "reward/characters"}


@pytest.mark.long
def test_a_full_disk(
    unbroken: list[dict[str, float]], options_in: MakeOptions, small_disk: Path, tmp_path: Path
) -> None:
    """Of the checkpoints; the records are on another."""
    options = options_in(tmp_path / "broken", ckpt__path=small_disk / "checkpoints")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "checkpoints").symlink_to(small_disk / "checkpoints")
    assert strike_often(FullDisk(small_disk / "filler"), options, tmp_path / "broken") == unbroken
