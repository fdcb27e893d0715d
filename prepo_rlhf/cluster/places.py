"""The places of a job's actors: whether the cluster can ever have them, whether they are free, and their reservation.

Which actors share a GPU is in `prepo_rlhf.config.bundles`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from prepo_rlhf.cluster.nodes import bundles_per_node, reserve
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.config.bundles import bundle_groups, required_bundles

SHARED_GPU = 0.2  # of a GPU, for each of the actors that share it, as in OpenRLHF


@dataclass
class Places:
    """The bundles of one GPU and one CPU that a job's actors run in; those that share GPUs have the same group."""

    policy: PlacementGroup
    reference: PlacementGroup | None
    engines: PlacementGroup

    @property
    def engine_gpus(self) -> float:
        """Of a GPU, for each worker of an engine."""
        return SHARED_GPU if self.engines is self.policy else 1

    def groups(self) -> list[PlacementGroup]:
        return [group for group in (self.policy, self.reference, self.engines) if group is not None]

    def give_back(self) -> None:
        """Let others have them; whatever still runs in them is killed."""
        for group in {group.id: group for group in self.groups()}.values():
            remove_placement_group(group)


def check_cluster(config: Config, patience: float = 0) -> None:
    """Refuse a job that the cluster is too small for, and will be for `patience` seconds; Ray would wait for ever.

    Raises:
        ConfigError: with what is there and what is asked.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            return _check_cluster(config)
        except ConfigError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(1)


def _check_cluster(config: Config) -> None:
    remedy = "lower --actor.num_gpus_per_node, --ref.num_gpus_per_node or --vllm.num_engines, share GPUs with "
    check_bundles(required_bundles(config), config.vllm.tensor_parallel_size, remedy + "--train.colocate_all")
    for group in bundle_groups(config):
        large_enough = sum(bundles >= group.on_each_node for bundles in bundles_per_node())
        if group.nodes > max(1, large_enough):
            raise ConfigError(
                f"--{group.options}.num_nodes {group.nodes}: the Ray cluster has {large_enough} nodes with the GPUs "
                f"(and as many CPUs) of --{group.options}.num_gpus_per_node {group.on_each_node}; lower one of them, "
                "or join more nodes with `ray start --address`"
            )


def check_bundles(needed: int, tensor_parallel_size: int, remedy: str) -> None:
    """Refuse `needed` bundles of a GPU and a CPU, or an engine's `tensor_parallel_size` GPUs on one node, if the
    cluster can never have them.

    Raises:
        ConfigError: with what is there and what is asked, and the `remedy`.
    """
    there = ray.cluster_resources()
    for resource in ("GPU", "CPU"):
        have = math.floor(there.get(resource, 0))
        if have < needed:
            raise ConfigError(
                f"the Ray cluster has {have} {resource}s and the job needs {needed}: {remedy}, or start Ray "
                f"with more (on a CPU machine, `ray start --head --num-cpus {needed} --num-gpus {needed}`)"
            )
    per_node = max(int(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"])
    if tensor_parallel_size > per_node:
        raise ConfigError(f"--vllm.tensor_parallel_size {tensor_parallel_size}: the largest node has {per_node} GPUs")


def reserve_places(config: Config) -> Places:
    """Reserve what `check_cluster` has found to be there, and wait until it is free."""
    places = {}
    for group in bundle_groups(config):
        places |= dict.fromkeys(group.roles, reserve(group.nodes, group.on_each_node))
    return Places(places["policy"], places.get("reference"), places["engine"])


def are_free(config: Config) -> bool:
    """Whether nobody holds the places of a job now, as far as the cluster's sums tell."""
    free = ray.available_resources()
    return min(free.get("GPU", 0), free.get("CPU", 0)) >= required_bundles(config)
