"""Puts a new rollout engine in the place of a dead one, while the rest of the job lives.

Boundary: one engine, its bundle and its weights; which calls are made again is for `engine_calls`.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import RayError

from prepo_rlhf.cluster.nodes import lives
from prepo_rlhf.cluster.places import Places
from prepo_rlhf.config import Config
from prepo_rlhf.ray import placement
from prepo_rlhf.ray.faults import Faults
from prepo_rlhf.ray.placement import Fleet

MOST_DEATHS = 3  # of an engine without a finished step: the last is for the job
LOOK_EVERY = 5  # seconds, at the node of an engine that starts

Record = Callable[[int, str, float, int], None]
"""The last finished step, why an engine was replaced after it, in how many seconds, and the rollouts made again."""


class EngineSuccessor:
    """Replaces engines of a job; `steps_done` counts its finished steps."""

    def __init__(
        self,
        config: Config,
        fleet: Fleet,
        places: Places,
        faults: Faults,
        steps_done: Callable[[], int],
        record: Record,
    ) -> None:
        self._config, self._fleet, self._places = config, fleet, places
        self._faults, self._steps_done, self._record = faults, steps_done, record
        self._deaths: Counter[tuple[int, int]] = Counter()

    def __call__(self, number: int, error: RayError, rollouts: int) -> None:
        """Start a new actor in the bundle of engine `number`, and send it the policy's weights.

        Raises:
            RayError: the `error` itself where a new engine would not help or cannot be had: a mistake, the engine's
                third death without a finished step, a node that is gone; or that of a policy that is gone too.
        """
        why, began, step = self._faults.describe(error), time.monotonic(), self._steps_done()
        self._deaths[number, step] += 1
        if self._deaths[number, step] >= MOST_DEATHS or not self._faults.part_died(error, why):
            raise error
        print(f"{why}. A new engine takes its place", flush=True)
        placement.end_actor(self._fleet.engines[number])
        successor = placement.create_engine(self._config, self._places.engines, number, self._places.engine_gpus)
        self._fleet.engines[number] = successor  # from now on it is one of the job's parts
        self._wait(successor, number, error)
        ray.get(self._fleet.policy.async_run_method("send_weights_to", number=number, engine=successor))
        seconds = time.monotonic() - began
        print(f"rollout engine {number} is there again, after {seconds:.0f} s", flush=True)
        self._record(step, why, seconds, rollouts)

    def _wait(self, successor: Any, number: int, error: RayError) -> None:
        """Until it has loaded the model. Raises `error` if it cannot, or its node is gone."""
        started = successor.check_alive.remote()
        while not ray.wait([started], timeout=LOOK_EVERY)[0]:
            if not lives(self._places.engines, number * self._config.vllm.tensor_parallel_size):
                raise error
        try:
            ray.get(started)
        except RayError as failed:
            raise error from failed
