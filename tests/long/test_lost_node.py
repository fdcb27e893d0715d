"""A node that goes away and comes back: the job waits for it, and has the metrics of the unbroken one."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from broken_jobs import fault_options, unbroken_metrics
from running_jobs import running_job
from tiny_tasks import read_metrics, without_timings

AWAY = 20  # seconds
ON_BOTH_NODES = {
    "actor__num_nodes": 2, "actor__num_gpus_per_node": 1, "ds__zero_stage": 3, "train__micro_batch_size": 2,
    "vllm__num_engines": 2, "train__num_episodes": 2, "train__max_restarts": 3,
}  # fmt: skip


def test_a_node_that_comes_back(tiny_llama: str, tiny_data: str, parity_reward: str, tmp_path: Path) -> None:
    """12 steps, with a rank of ZeRO-3 and an engine on each of two nodes; the second dies after steps 3 and 7."""
    options_in = partial(fault_options, tiny_llama, tiny_data, parity_reward, **ON_BOTH_NODES)
    expected = unbroken_metrics(options_in(tmp_path / "unbroken"), tmp_path / "unbroken", hosts=2)
    folder = tmp_path / "broken"
    with running_job(options_in(folder), folder, hosts=2) as job:
        for number, step in enumerate((3, 7), start=1):
            job.wait_for_step(step)
            job.raylet(host=1).kill()
            time.sleep(AWAY)
            job.cluster.join(1)
            job.wait_for_events(number)
        code, said = job.end()
    events = job.events()
    print([(event["steps_lost"], event["seconds"], event["why"]) for event in events])
    assert code == 0 and [event["event"] for event in events] == ["restart", "restart"], said
    assert all(event["seconds"] >= AWAY for event in events) and len(expected) == 12
    assert [without_timings(row) for row in read_metrics(folder)] == expected
