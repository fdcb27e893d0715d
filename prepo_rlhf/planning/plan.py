"""The plan of a job on a cluster: all that this package computes, and why the job does not fit.

Boundary: options in, a `Plan` out; prints nothing, starts nothing.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from prepo_rlhf.config import Config
from prepo_rlhf.config.bundles import bundle_groups, required_bundles, roles
from prepo_rlhf.planning.activations import head_bytes, micro_batch_tokens, plain_head_bytes
from prepo_rlhf.planning.cluster import Cluster, PlacedBundle, place, placement_problems
from prepo_rlhf.planning.cost import Lengths, Phase, Speed, phases
from prepo_rlhf.planning.engine import Engine, rollout_engine
from prepo_rlhf.planning.gpu_memory import GpuMemory, gpu_memory, memory_problems
from prepo_rlhf.planning.model_shape import ModelShape, model_shape
from prepo_rlhf.planning.step_counts import Schedule, count_prompts, schedule


class Plan(NamedTuple):
    """What a job takes. It fits if there are no `problems`, each of which names the option to change."""

    config: Config
    cluster: Cluster
    shape: ModelShape
    engine: Engine
    memory: list[GpuMemory]  # an account for each set of roles that share a GPU
    head: int  # peak bytes of the output head in chunks
    plain_head: int  # the same with all logits of a micro-batch materialised
    schedule: Schedule | None  # None where the number of prompts is unknown
    lengths: Lengths
    phases: list[Phase]
    placed: list[PlacedBundle]  # none if the cluster is too small
    host: int  # bytes in the memory of the fullest node
    problems: list[str]


def make_plan(config: Config, cluster: Cluster, prompts: int | None, lengths: Lengths, speed: Speed) -> Plan:
    """The plan of a resolved and checked `config`; `prompts` None counts a local dataset's rows.

    Raises ConfigError if there is no such model or dataset, or if one draw takes more prompts than there are.
    """
    shape = model_shape(config)
    engine = rollout_engine(shape, config, cluster.gpu_bytes, cluster.reserved_bytes)
    problems = list(placement_problems(config, cluster))
    placed = [] if problems else place(config, cluster)
    if not problems and len(placed) < required_bundles(config):
        problems.append("--ref.num_nodes: the policy leaves no such nodes free: make it 1, or plan more --nodes")
    kinds = dict.fromkeys(roles(bundle) for group in bundle_groups(config) for bundle in group.bundles)
    memory = {kind: gpu_memory(kind, shape, config, engine, cluster.reserved_bytes) for kind in kinds}
    for account in memory.values():
        problems += memory_problems(account, config, cluster)
    if engine.sequences < 1:
        problems.append(
            f"--vllm.gpu_memory_utilization {config.vllm.gpu_memory_utilization}: what the engine's weights leave of "
            f"it can't hold one sequence of --data.max_len {config.data.max_len} tokens: raise it, raise "
            "--vllm.tensor_parallel_size, or lower --data.max_len"
        )
    tokens, prompts = micro_batch_tokens(config), count_prompts(config) if prompts is None else prompts
    hosts = Counter()
    for bundle in placed:
        hosts[bundle.node] += memory[roles(bundle.actors)].host
    return Plan(
        config, cluster, shape, engine, list(memory.values()),
        head=head_bytes(shape, config, tokens),
        plain_head=plain_head_bytes(shape, config, tokens),
        schedule=None if prompts is None else schedule(config, prompts),
        lengths=lengths,
        phases=phases(shape, config, lengths, speed),
        placed=placed,
        host=max(hosts.values(), default=0),
        problems=problems,
    )  # fmt: skip
