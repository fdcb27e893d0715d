"""Where the actors go: placement groups for policy, reference model and engines, checked before any is asked for.

OpenRLHF's three layouts: separate GPUs, policy and reference model on the same (`--train.colocate_actor_ref`),
everything on the same (`--train.colocate_all`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import ray
from openrlhf.trainer.ray.launcher import RayActorGroup
from openrlhf.trainer.ray.utils import get_bundle_indices
from openrlhf.utils.utils import convert_to_torch_dtype
from ray.util.placement_group import PlacementGroup, placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from prepo_rlhf import backends
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.ray.policy_actor import PolicyActor
from prepo_rlhf.ray.reference_actor import ReferenceActor
from prepo_rlhf.ray.rollout_engine import RolloutEngine
from prepo_rlhf.ray.weight_sync import transfer_backend

SHARED_GPU = 0.2  # what each of the actors that share a GPU asks of it, as in OpenRLHF


@dataclass
class Fleet:
    """The Ray actors of a job."""

    policy: RayActorGroup
    reference: RayActorGroup | None
    engines: list[Any]


def required_bundles(config: Config) -> int:
    """How many bundles of one GPU and one CPU a job asks of the cluster."""
    policy = config.actor.num_nodes * config.actor.num_gpus_per_node
    reference = config.ref.num_nodes * config.ref.num_gpus_per_node if config.algo.kl.init_coef > 0 else 0
    engines = config.vllm.num_engines * config.vllm.tensor_parallel_size
    if config.train.colocate_all:
        return policy + (engines if config.train.async_enable else 0)
    return policy + engines + (0 if config.train.colocate_actor_ref else reference)


def check_cluster(config: Config) -> None:
    """Refuse a job that the cluster can never hold, instead of waiting for it for ever.

    Raises:
        ConfigError: with what is there and what is asked.
    """
    remedy = "lower --actor.num_gpus_per_node, --ref.num_gpus_per_node or --vllm.num_engines, share GPUs with "
    check_bundles(required_bundles(config), config.vllm.tensor_parallel_size, remedy + "--train.colocate_all")


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


def create_fleet(config: Config) -> Fleet:
    """Start all actors of a job; the models are not loaded yet."""
    size = config.actor.num_nodes * config.actor.num_gpus_per_node
    shared = _reserve(size) if config.train.colocate_all or config.train.colocate_actor_ref else None
    engines_share = config.train.colocate_all and not config.train.async_enable
    engines = create_engines(config, shared if engines_share else None)
    layout = dict(
        pg=shared,
        num_gpus_per_actor=SHARED_GPU if shared else 1,
        duplicate_actors=config.ds.ring_attn_size * config.ds.tensor_parallel_size,
    )
    actor, ref = config.actor, config.ref
    policy = RayActorGroup(actor.num_nodes, actor.num_gpus_per_node, ray.remote(PolicyActor), **layout)
    reference = None
    if config.algo.kl.init_coef > 0:
        reference = RayActorGroup(ref.num_nodes, ref.num_gpus_per_node, ray.remote(ReferenceActor), **layout)
    return Fleet(policy, reference, engines)


def create_engines(config: Config, shared: PlacementGroup | None = None) -> list[Any]:
    """Start the rollout engines, in bundles of their own or in those of `shared`; the model is not loaded yet."""
    workers = config.vllm.tensor_parallel_size
    group = shared or _reserve(config.vllm.num_engines * workers)
    gpus = SHARED_GPU if shared else 1
    engines = []
    for number in range(config.vllm.num_engines):
        bundles = get_bundle_indices(group, number, workers) if workers > 1 else None
        strategy = PlacementGroupSchedulingStrategy(
            placement_group=group,
            placement_group_capture_child_tasks=True,
            placement_group_bundle_index=bundles[0] if bundles else number,
        )
        # A tensor-parallel engine's GPUs belong to vLLM's own workers.
        own_gpus = 0 if bundles else gpus
        options = ray.remote(RolloutEngine).options(num_cpus=own_gpus, num_gpus=own_gpus, scheduling_strategy=strategy)
        engines.append(
            options.remote(bundle_indices=bundles, num_gpus=gpus, **engine_arguments(config, seed_offset=number))
        )
    return engines


def engine_arguments(config: Config, seed_offset: int = 0) -> dict[str, Any]:
    """What a rollout engine is made with: vLLM's engine arguments and our actor's own."""
    arguments = {
        "model": config.actor.model_name_or_path,
        "enforce_eager": config.vllm.enforce_eager,
        "worker_extension_cls": "prepo_rlhf.ray.worker_extension.WorkerExtension",
        "weight_transfer_config": {"backend": transfer_backend(config)},
        "tensor_parallel_size": config.vllm.tensor_parallel_size,
        "distributed_executor_backend": "uni" if config.vllm.tensor_parallel_size == 1 else "ray",
        "seed": config.train.seed + seed_offset,
        "full_determinism": config.train.full_determinism_enable and backends.current_backend() == "cuda",
        "max_model_len": config.data.max_len,
        "enable_prefix_caching": config.vllm.enable_prefix_caching,
        "dtype": str(convert_to_torch_dtype(config.ds.param_dtype)).removeprefix("torch."),
        "gpu_memory_utilization": config.vllm.gpu_memory_utilization,
        "enable_sleep_mode": config.vllm.enable_sleep,
        "disable_log_stats": True,
        "reward": config.reward.remote_url if not config.train.agent_func_path else None,
        "math_options": config.reward.math,
        "agent_func_path": config.train.agent_func_path,
        "same_batches": config.train.full_determinism_enable,
    }
    if backends.current_backend() == "cpu":
        from prepo_rlhf.backends import cpu

        arguments |= cpu.engine_arguments(config)
    if config.algo.advantage.is_correction_level != "off":
        arguments |= {"logprobs_mode": "processed_logprobs", "max_logprobs": 1}
    return arguments


def _reserve(num_bundles: int) -> PlacementGroup:
    group = placement_group([{"GPU": 1, "CPU": 1}] * num_bundles, strategy="PACK")
    ray.get(group.ready())
    return group
