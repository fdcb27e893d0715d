"""The process of a rollout engine: it imports vLLM as soon as it is there, and loads a model when it is told which.

So engines start while the driver still imports and checks. The class here imports nothing and only passes calls on: Ray
has to import an actor's class in the driver too, where `prepo_rlhf.ray.rollout_engine` would take seconds.
Boundary: starts the process and forwards; what an engine does is there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from importlib import import_module
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from prepo_rlhf.cluster.places import Places
from prepo_rlhf.config import Config

# Concurrent calls of an engine. Beyond Ray's default of 1,000 calls would be queued outside the actor, so that a wave
# of more requests would never be complete.
ENGINE_CALLS = 1_000_000
ENGINE = "prepo_rlhf.ray.rollout_engine"  # imported in the process alone
CALLS = (
    "check_alive", "finish_weight_update", "generate", "generate_responses", "idle", "init_process_group",
    "init_weight_transfer_engine", "pause_generation", "reset_prefix_cache", "resume_generation", "rollout",
    "score_prompts", "sleep", "start_weight_update", "update_weight", "update_weight_cuda_ipc", "update_weights",
    "wake_up",
)  # fmt: skip
"""The methods of an engine; each waits until the model is loaded."""


class EngineNotLoaded(Exception):
    """vLLM could not be started with what it was given; the text is that of its error."""


class RolloutEngine:
    """The actor, by the name that messages and the process's title have."""

    def __init__(self) -> None:
        engine_class = import_module(ENGINE).RolloutEngine
        self.engine = engine_class.__new__(engine_class)
        self._tried, self._error = asyncio.Event(), ""

    async def load(self, arguments: dict[str, Any]) -> None:
        """Start vLLM; `arguments` are those of the engine's class."""
        try:
            await self.engine.__init__(**arguments)
        except Exception as error:
            self._error = f"{type(error).__name__}: {error}"
            raise EngineNotLoaded(self._error) from error
        finally:
            self._tried.set()

    async def _loaded(self) -> Any:
        await self._tried.wait()
        if self._error:
            raise EngineNotLoaded(self._error)
        return self.engine


def _passed_on(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def call(self: RolloutEngine, *args: Any, **kwargs: Any) -> Any:
        return await getattr(await self._loaded(), name)(*args, **kwargs)

    call.__name__ = call.__qualname__ = name
    return call


for _name in CALLS:
    setattr(RolloutEngine, _name, _passed_on(_name))


def start_engine(group: PlacementGroup, bundle: int, gpus: float) -> Any:
    """Start the process of an engine, which will `load` what it is told; `gpus` of its bundle's GPU are its own, 0
    where they belong to vLLM's workers."""
    strategy = PlacementGroupSchedulingStrategy(
        placement_group=group, placement_group_capture_child_tasks=True, placement_group_bundle_index=bundle
    )
    options = {"num_cpus": gpus, "num_gpus": gpus, "scheduling_strategy": strategy, "max_concurrency": ENGINE_CALLS}
    return ray.remote(RolloutEngine).options(**options).remote()


def start_engines(config: Config, places: Places) -> list[Any]:
    """The processes of a job's engines of one GPU each."""
    return [start_engine(places.engines, number, places.engine_gpus) for number in range(config.vllm.num_engines)]
