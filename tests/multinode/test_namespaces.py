"""Two and three hosts with networks of their own, by hand: `pytest -m multinode` as root."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hosts import can_make_namespaces, namespace_hosts
from raylets import Cluster, ray_cluster
from tiny_tasks import read_metrics, without_timings

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, and `ip` of iproute2")

MakeOptions = Callable[..., list[str]]
# Rounds that divide by three ranks.
BY_THREE = {
    "rollout__batch_size": 6, "rollout__micro_batch_size": 8, "prepo__candidate_batch_size": 30,
    "train__batch_size": 12, "data__max_samples": 90,
}  # fmt: skip
KL = {"algo__kl__init_coef": 0.01, "algo__kl__use_loss": True, "algo__kl__estimator": "k3"}


def metrics_of(cluster: Cluster, options: list[str], folder: Path) -> list[dict[str, float]]:
    """Metrics, without the timings, of a job run in `folder`."""
    folder.mkdir(exist_ok=True)
    done = cluster.train(options, folder)
    assert done.returncode == 0, done.stderr
    return [without_timings(row) for row in read_metrics(folder / "run")]


@pytest.mark.parametrize(
    ("num_hosts", "changes", "reference_hosts"),
    [
        pytest.param(2, {}, 0, id="two-hosts"),
        pytest.param(3, BY_THREE, 0, id="three-hosts"),
        pytest.param(2, KL | {"train__colocate_all": True}, 2, id="two-hosts-reference-model-all-colocated"),
    ],
)
def test_a_job_on_several_hosts_has_the_metrics_of_one(
    num_hosts: int, changes: dict[str, object], reference_hosts: int, options_in: MakeOptions, tmp_path: Path
) -> None:
    """A policy rank on each host, two engines on different ones; and all on one host. Then, spread, from step 2 on."""
    one, several = tmp_path / "one", tmp_path / "several"
    layout = {"actor__num_nodes": 1, "actor__num_gpus_per_node": num_hosts, "ref__num_gpus_per_node": num_hosts}
    with namespace_hosts(1) as hosts, ray_cluster(hosts, gpus=num_hosts + 2) as cluster:
        expected = metrics_of(cluster, options_in(one, **changes, **layout), one)
    layout = {"actor__num_nodes": num_hosts, "actor__num_gpus_per_node": 1}
    layout |= {"ref__num_nodes": num_hosts, "ref__num_gpus_per_node": 1}
    options = options_in(several, **changes, **layout)
    with namespace_hosts(num_hosts) as hosts, ray_cluster(hosts, gpus=2) as cluster:
        assert metrics_of(cluster, options, several) == expected
        ran_on = cluster.actors_of_last_job()
        assert len(set(ran_on["PolicyActor"])) == num_hosts
        assert len(set(ran_on["RolloutEngine"])) == 2
        assert len(set(ran_on.get("ReferenceActor", []))) == reference_hosts
        latest = several / "run/checkpoints/_actor/latest"
        latest.write_text(f"global_step{len(expected) - 1}")
        before = read_metrics(several / "run")
        assert metrics_of(cluster, [*options, "--ckpt.load_enable"], several) == expected
        made_anew = [old != new for old, new in zip(before, read_metrics(several / "run"), strict=True)]
        assert made_anew == [False, False, True]  # by their timings


def test_a_host_that_has_not_the_checkpoints_is_named(options_in: MakeOptions, tmp_path: Path) -> None:
    """The second host has an empty folder of its own where the first has the checkpoints'."""
    checkpoints = tmp_path / "run/checkpoints"
    checkpoints.mkdir(parents=True)
    with namespace_hosts(2) as hosts:
        apart = ("sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(checkpoints))
        hosts[1] = replace(hosts[1], enter=(*hosts[1].enter, *apart))
        with ray_cluster(hosts, gpus=2) as cluster:
            refused = cluster.train(options_in(tmp_path, actor__num_nodes=2), tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert f"--ckpt.path {checkpoints}: not found on {hosts[1].address}; the job runs on 2 nodes" in refused.stderr
