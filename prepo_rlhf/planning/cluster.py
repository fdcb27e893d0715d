"""The cluster that a job is planned for, and the placement of its actors on GPUs.

Boundary: counts alone; `config.bundles` says what shares a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.config.bundles import Bundle, BundleGroup, bundle_groups, required_bundles

GIB = 2**30


class Cluster(NamedTuple):
    """`nodes` machines of `gpus_per_node` GPUs of `gpu_memory` GiB; `reserve` GiB of each are for what no formula here
    covers: CUDA contexts, NCCL's buffers, fragmentation, vLLM's workspace."""

    nodes: int
    gpus_per_node: int
    gpu_memory: float
    reserve: float

    @property
    def gpu_bytes(self) -> int:
        return int(self.gpu_memory * GIB)

    @property
    def reserved_bytes(self) -> int:
        return int(self.reserve * GIB)


class PlacedBundle(NamedTuple):
    """A bundle and its node and GPU; Ray numbers the machines and their GPUs."""

    node: int
    gpu: int
    actors: Bundle


def place(config: Config, cluster: Cluster) -> list[PlacedBundle]:
    """The job's bundles on empty nodes as Ray has them: each group on the nodes it names, or on as few as possible.

    The job must fit: see `placement_problems`.
    """
    free = [cluster.gpus_per_node] * cluster.nodes
    placed = []
    for group in bundle_groups(config):
        left = list(group.bundles)
        for node, size in _nodes_of(group, free):
            first = cluster.gpus_per_node - free[node]
            placed += [PlacedBundle(node, first + number, actors) for number, actors in enumerate(left[:size])]
            free[node], left = free[node] - size, left[size:]
    return placed


def _nodes_of(group: BundleGroup, free: Sequence[int]) -> list[tuple[int, int]]:
    """The nodes that a group goes to, and how many of its bundles to each, where `free` GPUs are left on every node."""
    if group.nodes > 1:
        roomy = [node for node, gpus in enumerate(free) if gpus >= group.on_each_node]
        return [(node, group.on_each_node) for node in roomy[: group.nodes]]
    room, left, taken = list(free), len(group.bundles), []
    while left:
        whole = (node for node, gpus in enumerate(room) if gpus >= left)
        node = next(whole, room.index(max(room)))
        taken.append((node, min(left, room[node])))
        left, room[node] = left - taken[-1][1], room[node] - taken[-1][1]
    return taken


def placement_problems(config: Config, cluster: Cluster) -> Iterator[str]:
    """Why the cluster can never hold the job's bundles, and which option to change."""
    needed, there = required_bundles(config), cluster.nodes * cluster.gpus_per_node
    if needed > there:
        share = "" if config.train.colocate_all else ", or share GPUs with --train.colocate_all"
        yield (
            f"the job needs {needed} GPUs and {cluster.nodes} x {cluster.gpus_per_node} are {there}: lower "
            f"--actor.num_nodes, --actor.num_gpus_per_node or --vllm.num_engines{share}, or plan more --nodes"
        )
    size = config.vllm.tensor_parallel_size
    if size > cluster.gpus_per_node:
        yield (
            f"--vllm.tensor_parallel_size {size}: an engine's GPUs are on one node, which has {cluster.gpus_per_node}: "
            f"make it at most {cluster.gpus_per_node}"
        )
    for group in bundle_groups(config):
        if group.nodes > 1 and (group.nodes > cluster.nodes or group.on_each_node > cluster.gpus_per_node):
            yield (
                f"--{group.options}.num_nodes {group.nodes}: {cluster.nodes} x {cluster.gpus_per_node} GPUs are not so "
                f"many nodes with --{group.options}.num_gpus_per_node {group.on_each_node}: lower one of them"
            )
