"""Two raylets on loopback: one job spread over them, and what is refused there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ray
from hosts import loopback_hosts
from raylets import Cluster, ray_cluster
from tiny_tasks import gpu_config, read_metrics, run_job, without_timings

from prepo_rlhf.cluster import nodes, places
from prepo_rlhf.config import ConfigError
from prepo_rlhf.config.bundles import required_bundles

# A job that is refused while its engines start; the GPUs that are free meanwhile, and afterwards.
REFUSED = """
import sys, time
from prepo_rlhf.backends.launch import ray, set_environment
from prepo_rlhf.cli.train_prepo_ray import job_config
from prepo_rlhf.trainer.engines_ahead import EnginesAhead

def free(expected):
    deadline = time.monotonic() + 30
    while (there := ray.available_resources().get("GPU", 0)) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return there

config = job_config(sys.argv[1:])
set_environment(config)
try:
    with EnginesAhead(config, joins=True):
        held = free(1)
        raise ValueError
except ValueError:
    print("free:", held, free(4))
"""


@pytest.fixture(scope="module")
def two_raylets() -> Iterator[Cluster]:
    """Two nodes with two logical GPUs each, on loopback."""
    with ray_cluster(loopback_hosts(2), gpus=2) as cluster:
        yield cluster


@pytest.fixture
def joined(two_raylets: Cluster) -> Iterator[list[str]]:
    """The nodes' addresses, while this process is a driver on them."""
    ray.init(address=two_raylets.address, log_to_driver=False)
    yield [node["NodeManagerAddress"] for node in ray.nodes()]
    ray.shutdown()


@pytest.mark.parametrize("and_on_one", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_job_on_two_nodes_has_the_metrics_of_one_node(
    and_on_one: bool, ray_head: str, two_raylets: Cluster, options_in: Callable[..., list[str]], tmp_path: Path
) -> None:
    """Two ranks of ZeRO-3 and two engines, one of each on a node; and all on one node, with the same metrics."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    spread = two_raylets.train(options_in(two, actor__num_nodes=2, actor__num_gpus_per_node=1), two)
    assert spread.returncode == 0, spread.stderr
    rows = read_metrics(two / "run")
    assert len(rows) == 3 and all(row["train/grad_norm"] > 0 for row in rows)
    ran_on = two_raylets.actors_of_last_job()
    assert len(set(ran_on["PolicyActor"])) == len(set(ran_on["RolloutEngine"])) == 2
    shards = {path.name for path in (two / "run/checkpoints/_actor/global_step3").glob("*optim_states.pt")}
    assert len(shards) == 2 and (two / "run/model/config.json").is_file()
    if and_on_one:
        alone = run_job(options_in(one, actor__num_gpus_per_node=2), folder=one)
        assert alone.returncode == 0, alone.stderr
        assert [without_timings(row) for row in rows] == [without_timings(row) for row in read_metrics(one / "run")]


def test_each_node_gets_its_ranks_in_succession(joined: list[str]) -> None:
    first, second, third, fourth = nodes.node_ids(nodes.reserve(2, 2))
    assert first == second != third == fourth


def test_more_nodes_than_there_are_is_refused(joined: list[str]) -> None:
    config = gpu_config().replaced({"actor.num_nodes": 3, "actor.num_gpus_per_node": 1})
    with pytest.raises(ConfigError, match="--actor.num_nodes 3: the Ray cluster has 2 nodes"):
        places.check_cluster(config)


def test_engines_that_started_ahead_of_a_refused_job_are_gone(
    two_raylets: Cluster, options_in: Callable[..., list[str]], tmp_path: Path
) -> None:
    done = two_raylets.run(["-c", REFUSED, *options_in(tmp_path)], tmp_path)
    assert "free: 1.0 4.0" in done.stdout, done.stdout + done.stderr


def test_nothing_starts_ahead_where_others_hold_the_places(joined: list[str]) -> None:
    config = gpu_config().replaced({"actor.num_gpus_per_node": 1, "algo.kl.init_coef": 0, "vllm.num_engines": 2})
    assert required_bundles(config) == 3 and places.are_free(config)
    nodes.reserve(1, 2)
    assert not places.are_free(config)


def test_a_file_that_a_node_cannot_see_is_refused(joined: list[str], tmp_path: Path) -> None:
    groups = [nodes.reserve(2, 1)]
    nodes.check_files({"--ckpt.path": str(tmp_path)}, groups)
    with pytest.raises(ConfigError) as refusal:
        nodes.check_files({"--ckpt.path": str(tmp_path), "--reward.remote_url": "/nowhere/reward.py"}, groups)
    assert str(refusal.value).startswith("--reward.remote_url: not found on ")
    assert all(address in str(refusal.value) for address in joined)
