"""Error messages for a running job: which actor died, or which error was raised in it.

Boundary: errors and the handles of the job's actors; what can be saved, and is, is for the trainer.
"""

from __future__ import annotations

from collections.abc import Iterator

from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError, RayTaskError

from prepo_rlhf.ray.placement import Fleet

__all__ = ["RayError", "describe", "reason"]


def describe(error: BaseException, fleet: Fleet) -> str:
    """The fault in one line: the actor that died, or the error that was raised in it."""
    if isinstance(error, (ActorDiedError, ActorUnavailableError)):
        names = dict(_names(fleet))
        return f"{names.get(error.actor_id, 'a Ray actor')} died (killed, out of memory, or its node is gone)"
    return reason(error)


def reason(error: BaseException) -> str:
    """An error in one line; what was raised in an actor as if it had been raised here."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0]}" if lines else type(cause).__name__


def _names(fleet: Fleet) -> Iterator[tuple[str, str]]:
    groups = {"policy rank": fleet.policy._actor_handlers, "rollout engine": fleet.engines}
    if fleet.reference is not None:
        groups["reference rank"] = fleet.reference._actor_handlers
    for kind, actors in groups.items():
        yield from ((actor._actor_id.hex(), f"{kind} {number}") for number, actor in enumerate(actors))
