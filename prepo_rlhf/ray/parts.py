"""The actors of a job from outside: how far they have come, which of them are in a call, their stacks, and their end.

Boundary: asks, reads and kills; whether the job hangs is for `trainer.hang_watch`, what a death means for `faults`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import ray
from ray._private import state
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from prepo_rlhf.ray import progress, stacks
from prepo_rlhf.ray.stacks import Stack

R = TypeVar("R")

ANSWER = 10  # seconds for an actor without a call under way to say so
PATIENCE = 90  # seconds for other nodes to start a process and look


class Parts:
    """The actors that are there now: engines may be replaced.

    Args:
        actors: gives the handles by what messages call them: "policy rank", "rollout engine".

    Attributes:
        ended: why actors were ended, by their ids.
    """

    def __init__(self, actors: Callable[[], Mapping[str, Sequence[Any]]]) -> None:
        self._actors = actors
        self._known: set[str] = set()
        self.ended: dict[str, str] = {}

    def progress(self) -> dict[str, bytes | None]:
        """What each living part has told of its progress, by its id."""
        ids = [actor._actor_id.hex() for actor in self._living().values()]
        self._known.update(ids)
        return progress.read(ids)

    def waited_for(self) -> list[str]:
        """The parts that have a call under way, or that do not answer.

        A rank answers when the method that it is in is over; an engine says whether it is, after it has asked its core.
        """
        calls = {
            (actor.idle if name.startswith("rollout engine") else actor.__ray_ready__).remote(): name
            for name, actor in self._living().items()
        }
        answered, _ = ray.wait(list(calls), num_returns=len(calls), timeout=ANSWER)
        for call in answered:
            try:
                idle = ray.get(call)
            except RayError:  # it is dead, which whoever waits for it is told
                idle = True
            if idle:
                del calls[call]
        return list(calls.values())

    def stacks(self) -> list[Stack]:
        """The stacks of all parts' processes, and of those that they have started, on whichever node."""
        return [stack for found in _on_nodes(stacks.of_node, self._living()) for stack in found]

    def end(self, names: Sequence[str], why: str) -> None:
        """Kill these parts, so that whoever waits for them goes on; `why` is the fault."""
        actors = {name: actor for name, actor in self._living().items() if name in names}
        self.ended |= {actor._actor_id.hex(): why for actor in actors.values()}
        try:
            _on_nodes(stacks.end, actors)
        finally:
            for actor in actors.values():
                ray.kill(actor)

    def forget(self) -> None:
        """Remove what the parts have told, at their end."""
        with suppress(RayError):  # Ray itself is gone, and what it kept
            progress.forget(self._known)

    def _living(self) -> dict[str, Any]:
        return {
            f"{kind} {number}": actor
            for kind, group in self._actors().items()
            for number, actor in enumerate(group)
            if actor._actor_id.hex() not in self.ended
        }


def _on_nodes(function: Callable[[dict[str, int]], R], actors: Mapping[str, Any]) -> list[R]:
    """What `function` gives for the actors' processes, by their ids, on each node that answers."""
    by_node: dict[str, dict[str, int]] = {}
    for name, actor in actors.items():
        known: dict[str, Any] = state.actors(actor._actor_id.hex())
        if known.get("Pid") and known["State"] != "DEAD":  # ids of processes come again
            by_node.setdefault(known["Address"]["NodeID"], {})[name] = known["Pid"]
    results = [function(by_node.pop(ray.get_runtime_context().get_node_id(), {}))]
    task = ray.remote(function).options
    calls = [
        task(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(pids)
        for node, pids in by_node.items()
    ]
    answered, _ = ray.wait(calls, num_returns=len(calls), timeout=PATIENCE) if calls else ([], [])
    for call in answered:
        with suppress(RayError):  # the node is gone
            results.append(ray.get(call))
    return results
