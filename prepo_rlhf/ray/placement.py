"""Placement of the actors: placement groups for policy, reference model and engines; first, whether they can fit.

Which actors share a GPU is in `prepo_rlhf.config.bundles`.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import ray
from openrlhf.trainer.ray.utils import get_bundle_indices
from openrlhf.utils.utils import convert_to_torch_dtype
from ray._private import state
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from prepo_rlhf import backends
from prepo_rlhf.config import Config, ConfigError
from prepo_rlhf.config.bundles import bundle_groups, required_bundles
from prepo_rlhf.config.engine_args import engine_args
from prepo_rlhf.ray.engine_calls import EngineCalls
from prepo_rlhf.ray.nodes import bundles_per_node, reserve
from prepo_rlhf.ray.policy_actor import PolicyActor
from prepo_rlhf.ray.rank_group import RankGroup
from prepo_rlhf.ray.reference_actor import ReferenceActor
from prepo_rlhf.ray.rollout_engine import RolloutEngine
from prepo_rlhf.ray.weight_sync import transfer_backend

SHARED_GPU = 0.2  # of a GPU, for each of the actors that share it, as in OpenRLHF
# Concurrent calls of an engine. Beyond Ray's default of 1,000 calls would be queued outside the actor, so that a wave
# of more requests would never be complete.
ENGINE_CALLS = 1_000_000
END_PATIENCE = 60  # seconds for killed actors to be gone


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


@dataclass
class Fleet:
    """The Ray actors of a job, and the way to ask its engines (`same_batches` as in `EngineCalls`)."""

    policy: RankGroup
    reference: RankGroup | None
    engines: list[Any]  # in which a successor takes the place of a dead one
    same_batches: bool = False

    def __post_init__(self) -> None:
        self.calls = EngineCalls(self.engines, self.same_batches)

    def actors(self) -> dict[str, list[Any]]:
        """All handles, by what messages call them."""
        reference = [] if self.reference is None else self.reference._actor_handlers
        ranks = {"policy rank": self.policy._actor_handlers, "reference rank": reference}
        return ranks | {"rollout engine": self.engines}


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


def create_fleet(config: Config, places: Places) -> Fleet:
    """Start all actors of a job; the policy's and the reference model's models are not loaded yet."""
    shared = config.train.colocate_all or config.train.colocate_actor_ref

    def ranks(actor_class: Any, size: Any, group: PlacementGroup) -> RankGroup:
        return RankGroup(
            size.num_nodes, size.num_gpus_per_node, ray.remote(actor_class), pg=group,
            num_gpus_per_actor=SHARED_GPU if shared else 1,
            duplicate_actors=config.ds.ring_attn_size * config.ds.tensor_parallel_size,
        )  # fmt: skip

    engines = create_engines(config, places.engines, places.engine_gpus)
    policy = ranks(PolicyActor, config.actor, places.policy)
    reference = ranks(ReferenceActor, config.ref, places.reference) if places.reference is not None else None
    return Fleet(policy, reference, engines, config.train.full_determinism_enable)


def end_fleet(fleet: Fleet, places: Places) -> None:
    """Kill all actors of a job and give their places back; returns when the processes are gone."""
    actors = [actor for group in fleet.actors().values() for actor in group]
    for actor in actors:
        ray.kill(actor)
    for group in {group.id: group for group in places.groups()}.values():
        remove_placement_group(group)
    _wait_until_dead(actors)


def end_actor(actor: Any) -> None:
    """Kill an actor; returns when its process is gone."""
    ray.kill(actor)
    _wait_until_dead([actor])


def _wait_until_dead(actors: list[Any]) -> None:
    deadline = time.monotonic() + END_PATIENCE
    while time.monotonic() < deadline and not all(_is_dead(actor) for actor in actors):
        time.sleep(0.1)


def _is_dead(actor: Any) -> bool:
    return state.actors(actor._actor_id.hex()).get("State") == "DEAD"


def create_engines(config: Config, group: PlacementGroup, gpus: float = 1) -> list[Any]:
    """Start the rollout engines in the bundles of `group`, of which each takes `gpus` of a GPU for a worker."""
    return [create_engine(config, group, number, gpus) for number in range(config.vllm.num_engines)]


def create_engine(config: Config, group: PlacementGroup, number: int, gpus: float = 1) -> Any:
    """Start one of them; the bundles are the same whenever this is called."""
    workers = config.vllm.tensor_parallel_size
    bundles = get_bundle_indices(group, number, workers) if workers > 1 else None
    strategy = PlacementGroupSchedulingStrategy(
        placement_group=group,
        placement_group_capture_child_tasks=True,
        placement_group_bundle_index=bundles[0] if bundles else number,
    )
    # A tensor-parallel engine's GPUs belong to vLLM's own workers.
    own_gpus = 0 if bundles else gpus
    options = ray.remote(RolloutEngine).options(
        num_cpus=own_gpus, num_gpus=own_gpus, scheduling_strategy=strategy, max_concurrency=ENGINE_CALLS
    )
    return options.remote(bundle_indices=bundles, num_gpus=gpus, **engine_arguments(config, seed_offset=number))


def engine_arguments(config: Config, seed_offset: int = 0) -> dict[str, Any]:
    """What a rollout engine is made with: vLLM's engine arguments and our actor's own."""
    arguments = {
        "model": config.actor.model_name_or_path,
        "trust_remote_code": config.actor.trust_remote_code,
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
        "reward_patience": config.reward.patience,
        "agent_func_path": config.train.agent_func_path,
        "same_batches": config.train.full_determinism_enable,
    }
    if backends.current_backend() == "cpu":
        from prepo_rlhf.backends import cpu

        arguments |= cpu.engine_arguments(config)
    if config.algo.advantage.is_correction_level != "off":
        arguments |= {"logprobs_mode": "processed_logprobs", "max_logprobs": 1}
    return arguments | engine_args(config.vllm.engine_args)
