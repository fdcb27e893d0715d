"""The actors of a job: started in their places, and ended.

Boundary: the places themselves are reserved by `prepo_rlhf.cluster.places`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from openrlhf.trainer.ray.utils import get_bundle_indices
from openrlhf.utils.utils import convert_to_torch_dtype
from ray._private import state
from ray.util.placement_group import PlacementGroup

from prepo_rlhf import backends
from prepo_rlhf.backends.lean_imports import collector_at_rest
from prepo_rlhf.cluster.engine_process import start_engine
from prepo_rlhf.cluster.places import SHARED_GPU, Places
from prepo_rlhf.config import Config
from prepo_rlhf.config.engine_args import engine_args
from prepo_rlhf.ray.engine_calls import EngineCalls
from prepo_rlhf.ray.transport import transfer_backend

if TYPE_CHECKING:
    from prepo_rlhf.ray.rank_group import RankGroup

END_PATIENCE = 60  # seconds for killed actors to be gone


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


def create_fleet(config: Config, places: Places, ahead: Sequence[Any] = ()) -> Fleet:
    """Start all actors of a job, but engines whose processes run `ahead`; the policy's and the reference model's
    models are not loaded yet."""
    engines = create_engines(config, places.engines, places.engine_gpus, ahead)
    with collector_at_rest():  # imports DeepSpeed, while the engines, which take longest, load
        from prepo_rlhf.ray.policy_actor import PolicyActor
        from prepo_rlhf.ray.rank_group import RankGroup
        from prepo_rlhf.ray.reference_actor import ReferenceActor

    shared = config.train.colocate_all or config.train.colocate_actor_ref

    def ranks(actor_class: Any, size: Any, group: PlacementGroup) -> RankGroup:
        return RankGroup(
            size.num_nodes, size.num_gpus_per_node, ray.remote(actor_class), pg=group,
            num_gpus_per_actor=SHARED_GPU if shared else 1,
            duplicate_actors=config.ds.ring_attn_size,
        )  # fmt: skip

    policy = ranks(PolicyActor, config.actor, places.policy)
    reference = ranks(ReferenceActor, config.ref, places.reference) if places.reference is not None else None
    return Fleet(policy, reference, engines, config.train.full_determinism_enable)


def end_fleet(fleet: Fleet, places: Places) -> None:
    """Kill all actors of a job and give their places back; returns when the processes are gone."""
    actors = [actor for group in fleet.actors().values() for actor in group]
    for actor in actors:
        ray.kill(actor)
    places.give_back()
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


def create_engines(config: Config, group: PlacementGroup, gpus: float = 1, ahead: Sequence[Any] = ()) -> list[Any]:
    """The rollout engines in the bundles of `group`, of which each takes `gpus` of a GPU for a worker; the processes
    of the first may run `ahead`."""
    return [
        create_engine(config, group, number, gpus, *ahead[number : number + 1])
        for number in range(config.vllm.num_engines)
    ]


def create_engine(config: Config, group: PlacementGroup, number: int, gpus: float = 1, process: Any = None) -> Any:
    """Start one of them, in its `process` if that runs already; the bundles are the same whenever this is called."""
    workers = config.vllm.tensor_parallel_size
    bundles = get_bundle_indices(group, number, workers) if workers > 1 else None
    if process is None:
        # A tensor-parallel engine's GPUs belong to vLLM's own workers.
        process = start_engine(group, bundles[0], 0) if bundles else start_engine(group, number, gpus)
    process.load.remote({"bundle_indices": bundles, "num_gpus": gpus, **engine_arguments(config, seed_offset=number)})
    return process


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
