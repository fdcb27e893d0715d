"""The GPUs that a job is planned for, and which of its actors are on which.

Boundary: counts alone; what shares a GPU is `prepo_rlhf.config.bundles`'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prepo_rlhf.config import Config
from prepo_rlhf.config.bundles import Bundle, bundle_groups, required_bundles

GIB = 2**30


@dataclass(frozen=True)
class Cluster:
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


@dataclass(frozen=True)
class PlacedBundle:
    """A bundle and where it is; which machine is the first, and the order of its GPUs, is Ray's choice."""

    node: int
    gpu: int
    actors: Bundle


def place(config: Config, cluster: Cluster) -> list[PlacedBundle]:
    """The job's bundles on empty nodes as Ray's strategy PACK has them: each placement group on as few as possible.

    The job must fit: see `placement_problems`.
    """
    free = [cluster.gpus_per_node] * cluster.nodes
    placed = []
    for group in bundle_groups(config):
        left = list(group)
        while left:
            whole = (node for node, gpus in enumerate(free) if gpus >= len(left))
            node = next(whole, free.index(max(free)))
            here, left = left[: free[node]], left[free[node] :]
            first = cluster.gpus_per_node - free[node]
            placed += [PlacedBundle(node, first + number, actors) for number, actors in enumerate(here)]
            free[node] -= len(here)
    return placed


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
