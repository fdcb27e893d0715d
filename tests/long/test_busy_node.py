"""A node that does not answer Ray for a while, being busy or frozen, costs a job this while, and no restart."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest
from broken_jobs import MakeOptions, fault_options
from running_jobs import running_job
from tiny_tasks import ROOT, read_metrics, without_timings

from prepo_rlhf.backends.launch import NODE_PATIENCE

SILENT = 75  # seconds; by Ray's own limits the node would be dead after 66
ON_BOTH_NODES = {
    "actor__num_nodes": 2, "actor__num_gpus_per_node": 1, "ds__zero_stage": 3, "train__micro_batch_size": 2,
    "vllm__num_engines": 2,
}  # fmt: skip


@pytest.fixture
def options_in(tiny_llama: str, tiny_data: str, parity_reward: str) -> MakeOptions:
    """Of a job of 12 steps, with a rank of ZeRO-3 and an engine on each node."""
    return partial(fault_options, tiny_llama, tiny_data, parity_reward, train__num_episodes=2, **ON_BOTH_NODES)


def test_a_silent_raylet_is_waited_for(
    options_in: MakeOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_health_check_timeout_ms", NODE_PATIENCE)
    assert f":-{NODE_PATIENCE}}}" in (ROOT / "examples/scripts/ray_start_head.sh").read_text()
    rows = {}
    for name in ("undisturbed", "disturbed"):
        folder = tmp_path / name
        with running_job(options_in(folder), folder, hosts=2) as job:
            job.wait_for_step(2)
            if name == "disturbed":
                job.raylet(host=1).suspend()
                time.sleep(SILENT)
                job.raylet(host=1).resume()
            code, said = job.end()
        assert code == 0 and not job.events(), said
        rows[name] = [without_timings(row) for row in read_metrics(folder)]
    assert rows["disturbed"] == rows["undisturbed"] and len(rows["disturbed"]) == 12
