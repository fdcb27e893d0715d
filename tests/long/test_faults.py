"""Whatever breaks, a job says what to do, and taken up again it has the metrics of the unbroken one.

Five times each, with the steps that were lost: pytest --long tests/long/test_faults.py -rP
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from broken_jobs import (
    KILLS,
    Fault,
    FullDisk,
    MakeOptions,
    RewardServerGone,
    broken_and_healed,
    broken_and_resumed,
    fault_options,
    unbroken_metrics,
)
from tiny_tasks import without_timings


@pytest.fixture(scope="module")
def options_in(tiny_llama: str, tiny_data: str, parity_reward: str) -> MakeOptions:
    return partial(fault_options, tiny_llama, tiny_data, parity_reward)


@pytest.fixture(scope="module")
def unbroken(options_in: MakeOptions, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, float]]:
    folder = tmp_path_factory.mktemp("unbroken")
    return unbroken_metrics(options_in(folder), folder)


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


@pytest.mark.parametrize("name", KILLS)
def test_five_times(name: str, unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path) -> None:
    assert strike_often(KILLS[name], options_in(tmp_path / "broken"), tmp_path / "broken") == unbroken


@pytest.mark.parametrize("name", ["policy rank", "rollout engine", "vLLM's core"])
def test_five_times_by_itself(
    name: str, unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path
) -> None:
    """Nobody starts the job again."""
    strikes = [(5 + 3 * number, KILLS[name]) for number in range(5)]
    report = broken_and_healed(options_in(tmp_path / "broken"), tmp_path / "broken", strikes)
    print(f"{name} five times; steps lost {report.steps_lost}; seconds {report.seconds}")
    assert report.metrics == unbroken


VARIANTS: dict[str, dict[str, Any]] = {
    "dynamic filtering": {"algo__dynamic_filtering_enable": True},
    "calibrated": {"prepo__selector": "calibrated", "prepo__weight_balance": "sign"},
    "replay": {"train__replay_depth": 2},
    "lora": {"ds__lora__rank": 4},
    "two engines": {"vllm__num_engines": 2},
    "two ranks, ZeRO-3": {"actor__num_gpus_per_node": 2, "ds__zero_stage": 3, "train__micro_batch_size": 2},
    "two nodes": {
        "actor__num_nodes": 2, "ds__zero_stage": 3, "train__micro_batch_size": 2, "vllm__num_engines": 2,
    },
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_by_themselves(variant: str, options_in: MakeOptions, tmp_path: Path) -> None:
    """An engine, its core, a rank and the core again."""
    hosts = VARIANTS[variant].get("actor__num_nodes", 1)
    expected = unbroken_metrics(options_in(tmp_path / "unbroken", **VARIANTS[variant]), tmp_path / "unbroken", hosts)
    strikes = [(3, "rollout engine"), (6, "vLLM's core"), (9, "policy rank"), (12, "vLLM's core")]
    folder = tmp_path / "broken"
    kills = [(step, KILLS[name]) for step, name in strikes if step < len(expected) - 3]
    report = broken_and_healed(options_in(folder, **VARIANTS[variant]), folder, kills, hosts=hosts)
    print(f"{variant}: {len(kills)} faults; steps lost {report.steps_lost}; seconds {report.seconds}")
    assert report.metrics == expected and len(kills) > 1


def test_async_engines_are_replaced_with_the_weights_of_their_batch(options_in: MakeOptions, tmp_path: Path) -> None:
    """The policy has trained on meanwhile. (A restart generates what was in the queue with fresher weights.)"""
    given = {"train__async_enable": True, "prepo__selector": "random"}
    expected = unbroken_metrics(options_in(tmp_path / "unbroken", **given), tmp_path / "unbroken")
    strikes = [(5 + 3 * number, KILLS[("rollout engine", "vLLM's core")[number % 2]]) for number in range(5)]
    report = broken_and_healed(options_in(tmp_path / "broken", **given), tmp_path / "broken", strikes)
    print(f"async: steps lost {report.steps_lost}; seconds {report.seconds}")
    assert report.metrics == expected


def test_staleness_stays_true_when_an_engine_is_replaced(options_in: MakeOptions, tmp_path: Path) -> None:
    """With partial rollout: nothing is trained on that is older than the queue, or newer than the policy."""
    given = {"train__async_enable": True, "train__partial_rollout_enable": True, "train__async_queue_size": 2}
    folder, options = tmp_path / "broken", {"train__full_determinism_enable": False, "train__max_restarts": 3}
    strikes = [(5, KILLS["rollout engine"]), (8, KILLS["vLLM's core"])]
    report = broken_and_healed(options_in(folder, **given, **options), folder, strikes)
    steps = report.metrics
    assert [row["step"] for row in steps] == sorted({row["step"] for row in steps}) and len(steps) > 12
    assert all(0 <= row["rollout/staleness_mean"] <= row["rollout/staleness_max"] <= 2 for row in steps)


def test_before_the_first_checkpoint_nothing_is_erased(
    unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path
) -> None:
    """The job begins again with step 1, and what it had recorded is set aside."""
    folder = tmp_path / "broken"
    options = options_in(folder, ckpt__save_steps=-1, ckpt__best_metric_key="none")
    report = broken_and_healed(options, folder, [(3, KILLS["policy rank"])])
    assert report.metrics == unbroken and report.steps_lost[0] >= 3
    [before] = folder.glob("before-*/metrics.jsonl")
    rows = [without_timings(json.loads(line)) for line in before.read_text().splitlines()]
    assert len(rows) >= 3 and rows == unbroken[: len(rows)]


def test_a_reward_server_that_goes_away(
    unbroken: list[dict[str, float]], options_in: MakeOptions, tmp_path: Path
) -> None:
    fault = RewardServerGone()
    options = options_in(tmp_path / "broken", reward__remote_url=fault.url, reward__patience=0)
    for row, expected in zip(strike_often(fault, options, tmp_path / "broken"), unbroken, strict=True):
        assert row == {name: value for name, value in expected.items() if name != "reward/characters"}


def test_a_full_disk(
    unbroken: list[dict[str, float]], options_in: MakeOptions, small_disk: Path, tmp_path: Path
) -> None:
    """Of the checkpoints; the records are on another."""
    options = options_in(tmp_path / "broken", ckpt__path=small_disk / "checkpoints")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "checkpoints").symlink_to(small_disk / "checkpoints")
    assert strike_often(FullDisk(small_disk / "filler"), options, tmp_path / "broken") == unbroken
