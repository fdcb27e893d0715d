"""Placement groups on as many nodes as asked for, and a check that these nodes see the same files."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping

import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from prepo_rlhf.config import ConfigError

PATIENCE = 30  # seconds of waiting for GPUs before the first message about it


def bundles_per_node() -> list[int]:
    """How many bundles of one GPU and one CPU each living node can hold."""
    resources = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [math.floor(min(there.get("GPU", 0), there.get("CPU", 0))) for there in resources]


def reserve(num_nodes: int, gpus_per_node: int) -> PlacementGroup:
    """Bundles of one GPU and one CPU, `gpus_per_node` on each of `num_nodes` nodes; those of a node are consecutive.

    For `num_nodes` = 1 a single node is preferred, not required, as in OpenRLHF: where no node has all the GPUs free,
    the bundles are spread over several.
    """
    if num_nodes == 1:
        return _placed([{"GPU": 1, "CPU": 1}] * gpus_per_node, "PACK")
    # Ray finds the nodes with a bundle for each; the actors need a bundle for each GPU, so these are pinned to them.
    whole = _placed([{"GPU": gpus_per_node, "CPU": gpus_per_node}] * num_nodes, "STRICT_SPREAD")
    pins = [{"ray.io/node-id": node} for node in node_ids(whole) for _ in range(gpus_per_node)]
    remove_placement_group(whole)
    return _placed([{"GPU": 1, "CPU": 1}] * len(pins), "PACK", pins)


def node_ids(group: PlacementGroup) -> list[str]:
    """The node of each bundle, in the order of the bundles."""
    nodes = placement_group_table(group)["bundles_to_node_id"]
    return [nodes[number] for number in sorted(nodes)]


def lives(group: PlacementGroup, bundle: int) -> bool:
    """Whether the node that a bundle was placed on is there; not for one that Ray is about to place anew."""
    alive = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    return placement_group_table(group)["bundles_to_node_id"].get(bundle) in alive


def check_files(files: Mapping[str, str], groups: Iterable[PlacementGroup]) -> None:
    """Refuse a job that runs on several nodes, some of which cannot see its files.

    Args:
        files: absolute paths by the option that asks for them.
        groups: where the job's actors will run.

    Raises:
        ConfigError: naming the options and the nodes' addresses.
    """
    nodes = sorted({node for group in groups for node in node_ids(group)})
    if len(nodes) == 1 or not files:
        return
    places = [NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes]
    calls = [_unseen.options(num_cpus=0, scheduling_strategy=there).remote(dict(files)) for there in places]
    lacking: dict[str, list[str]] = {}
    for address, options in ray.get(calls):
        for option in options:
            lacking.setdefault(option, []).append(address)
    problems = [
        f"{option}: not found on {', '.join(addresses)}; the job runs on {len(nodes)} nodes, so put it under one path "
        "on storage that all of them share"
        for option, addresses in lacking.items()
    ]
    if problems:
        raise ConfigError("\n".join(problems))


@ray.remote
def _unseen(files: dict[str, str]) -> tuple[str, list[str]]:
    """This node's address, and the options whose files it does not see."""
    return ray.util.get_node_ip_address(), [option for option, path in files.items() if not os.path.exists(path)]


def _placed(bundles: list[dict[str, float]], strategy: str, pins: list[dict[str, str]] | None = None) -> PlacementGroup:
    group = placement_group(bundles, strategy=strategy, bundle_label_selector=pins)
    while not group.wait(PATIENCE):
        print("waiting for GPUs of the Ray cluster that others hold", flush=True)
    return group
