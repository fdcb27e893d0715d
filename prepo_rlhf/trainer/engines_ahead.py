"""Rollout engines whose processes start, and import vLLM, while the driver imports and checks.

Only in a Ray that runs already and has the places free: nobody waits, and no Ray is started, for a job that may yet be
refused. The models are loaded once everything is checked.
Boundary: places and processes until they are taken; what the engines load is for `prepo_rlhf.ray.placement`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from prepo_rlhf.backends.announce import announced
from prepo_rlhf.backends.launch import ray, start_ray
from prepo_rlhf.cluster.engine_process import start_engines
from prepo_rlhf.cluster.places import Places, are_free, check_cluster, reserve_places
from prepo_rlhf.config import Config


class EnginesAhead:
    """A block at whose end they are gone, unless they have been taken.

    Args:
        joins: whether a Ray runs that the job is to join; else nothing is started.
    Raises:
        ConfigError: on entry, when Ray cannot be joined, or can never have the places.
    """

    def __init__(self, config: Config, joins: bool) -> None:
        self._config, self._joins = config, joins
        self._started: tuple[Places, list[Any]] | None = None

    def __enter__(self) -> EnginesAhead:
        if self._joins:
            start_ray(self._config)
            check_cluster(self._config)
            # Which bundles are a tensor-parallel engine's is asked of OpenRLHF.
            if self._config.vllm.tensor_parallel_size == 1 and are_free(self._config):
                with announced("Reserving GPUs"):
                    places = reserve_places(self._config)
                self._started = places, start_engines(self._config, places)
        return self

    def take(self) -> tuple[Places, list[Any]] | None:
        """Places and engines, the first time; None if nothing was started."""
        started, self._started = self._started, None
        return started

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if started := self.take():
            places, engines = started
            for engine in engines:
                ray.kill(engine)
            places.give_back()
