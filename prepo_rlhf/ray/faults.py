"""What broke a running job, in one line: which actor died and of what, or which error was raised in one.

Boundary: errors, and the job's actors; what can be saved, and is, is for the control loop.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ray._private import state
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    ObjectLostError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
    WorkerCrashedError,
)
from vllm.v1.engine.exceptions import EngineDeadError

from prepo_rlhf.cluster.engine_process import EngineNotLoaded
from prepo_rlhf.ray.worker_logs import TOLD_ELSEWHERE, find_log
from prepo_rlhf.rewards.contract import NoAnswerError

__all__ = ["Faults", "RayError", "is_engine_death", "reason"]

LONGEST_REASON = 500  # characters of an error's text
PATIENCE = 3  # seconds for Ray to notice a death that another rank has noticed
# What PyTorch's process groups say where another rank is gone.
_LOST_PEER = re.compile(r"\bpeer\b|connection|socket|broken pipe|gloo|nccl", re.IGNORECASE)
_GONE = (
    ActorUnavailableError, NoAnswerError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError,
)  # fmt: skip
NOT_FINITE = "ArithmeticError"  # what the sampler raises in vLLM's process where probabilities are not finite
_MEMORY = re.compile(r"\([^()]*\) was ([\d.]+ ?GB / [\d.]+ ?GB)")  # in Ray's text about a node that is short of it


class Faults:
    """Tells the errors of a job's actors; what a dead process has left in its log is told once.

    Args:
        actors: handles by what messages call them: "policy rank", "rollout engine"; the lists may change later.
        ended: why the job itself has ended actors, by their ids; it may do so later.
    """

    def __init__(self, actors: Mapping[str, Sequence[Any]], ended: Mapping[str, str] = MappingProxyType({})) -> None:
        self._actors, self._ended = actors, ended
        self._told: set[str] = set()
        self._last: tuple[BaseException, str] | None = None  # described, and how

    def describe(self, error: BaseException) -> str:
        """The fault in one line: the actor that died, with its log, or the error that was raised."""
        if self._last is None or self._last[0] is not error:
            self._last = error, self._describe(error)
        return self._last[1]

    @property
    def _names(self) -> dict[str, str]:
        """What messages call each actor, by its id; the groups may have changed."""
        return {
            actor._actor_id.hex(): f"{kind} {number}"
            for kind, group in self._actors.items()
            for number, actor in enumerate(group)
        }

    def _describe(self, error: BaseException) -> str:
        cause = _cause(error)
        named = next((actor_id for actor_id in self._names if actor_id in str(error)), None)
        if named in self._ended:
            return self._ended[named]
        if isinstance(cause, (ActorDiedError, ActorUnavailableError)):
            return self._death(cause)
        if isinstance(cause, EngineNotLoaded):
            return self._not_started(named, str(cause).strip().splitlines()[-1])
        if isinstance(cause, EngineDeadError):
            return f"vLLM's process of {self._name(named)} died{self._log(named)}"
        if isinstance(cause, OutOfMemoryError):
            used = _MEMORY.search(str(cause))
            return f"Ray killed {self._name(named)}, since its node was short of memory" + (
                f": {used[1]}" if used else ""
            )
        dead = self._dead() if _lost_peer(error) else []
        if why := next((self._ended[actor_id] for actor_id in dead if actor_id in self._ended), None):
            return why
        return "; ".join([*(f"{self._name(actor_id)} died{self._log(actor_id)}" for actor_id in dead), reason(error)])

    def part_died(self, error: BaseException, told: str) -> bool:
        """Whether a process, node or server is gone, which may be there again after a new start, rather than that the
        job's or the user's code raised something. `told` is what `describe` said of it."""
        cause = _cause(error)
        if told in self._ended.values():
            return True
        if isinstance(cause, ActorDiedError):
            return not cause.actor_init_failed
        if isinstance(cause, EngineNotLoaded):
            return False
        if isinstance(cause, EngineDeadError):
            return NOT_FINITE not in told
        return isinstance(cause, _GONE) or _lost_peer(error)

    def _death(self, error: ActorDiedError | ActorUnavailableError) -> str:
        name = self._name(error.actor_id)
        if not error.actor_init_failed:
            return f"{name} died (killed, out of memory, or its node is gone){self._log(error.actor_id)}"
        return self._not_started(error.actor_id, error.error_msg.strip().splitlines()[-1])

    def _not_started(self, actor_id: str | None, raised: str) -> str:
        """`raised`: the last line of a traceback."""
        log = self._log(actor_id) if TOLD_ELSEWHERE.search(raised) else ""
        return f"{self._name(actor_id)} could not be started: {raised}{log}"

    def _name(self, actor_id: str | None) -> str:
        return self._names.get(actor_id or "", "a Ray actor")

    def _log(self, actor_id: str | None) -> str:
        """For the end of a sentence about an actor: what its log says, the first time."""
        if actor_id is None or actor_id in self._told:
            return ""
        self._told.add(actor_id)
        try:
            log = find_log(actor_id)
        except Exception as error:  # of whatever kind: it must not take the place of the fault
            return f"; its log cannot be read ({reason(error)})"
        return f"; {log}" if log else ""

    def _dead(self) -> list[str]:
        """The job's actors that Ray knows to be dead, waiting for the first."""
        deadline = time.monotonic() + PATIENCE
        while True:
            dead = [actor_id for actor_id in self._names if state.actors(actor_id).get("State") == "DEAD"]
            if dead or time.monotonic() > deadline:
                return dead
            time.sleep(0.2)


def is_engine_death(error: RayError) -> bool:
    """Whether a call to a rollout engine failed because its process, its node or vLLM's core is gone."""
    deaths = (ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError, WorkerCrashedError)
    if isinstance(error, RayTaskError):  # raised by the engine itself
        return isinstance(error.cause, EngineDeadError)
    return isinstance(error, deaths)


def _lost_peer(error: BaseException) -> bool:
    return isinstance(error, RayTaskError) and _LOST_PEER.search(reason(error)) is not None


def reason(error: BaseException) -> str:
    """An error in one line; what was raised in an actor as if it had been raised here."""
    cause = _cause(error)
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0][:LONGEST_REASON]}" if lines else type(cause).__name__


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, RayTaskError):
        error = error.cause
    return error
