"""How far a process of the job has come: what it has moved, told to the driver every few seconds.

A rank is busy for as long as it trains, and answers no call meanwhile; so a thread of each actor's process writes its
counts to Ray's control store, where the driver reads them. Boundary: counts; what to make of them is for
`trainer.hang_watch`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import ParamSpec, TypeVar

import psutil
import ray
from ray.exceptions import RayError
from ray.experimental import internal_kv

P = ParamSpec("P")
R = TypeVar("R")

NAMESPACE = "prepo_rlhf progress"
EVERY = 3  # seconds between two looks of a process at its counts
UNIT = 64 * 2**20  # bytes; what Ray's own threads read and write takes an hour or more for one

_moves = 0  # micro-batches, weights, outputs of vLLM, answered calls: of this process, since its start


def moved() -> None:
    """Count one thing that this process has moved."""
    global _moves
    _moves += 1


def counted(function: Callable[P, R]) -> Callable[P, R]:
    """`function`, each return of which is counted as a move."""

    @wraps(function)
    def counting(*args: P.args, **kwargs: P.kwargs) -> R:
        result = function(*args, **kwargs)
        moved()
        return result

    return counting


def tell() -> None:
    """Let this actor's process tell its progress from now on."""
    actor_id = ray.get_runtime_context().get_actor_id()
    threading.Thread(target=_tell, args=(actor_id,), daemon=True, name="progress").start()


def _tell(actor_id: str) -> None:
    process, moves, units, told = psutil.Process(), -1, 0, ""
    while True:
        if moves == _moves:  # models are loaded, and checkpoints written, without a move
            units = _bytes(process) // UNIT
        moves = _moves
        if (now := f"{moves} {units}") != told:
            with suppress(RayError):  # the next look tells it
                internal_kv._internal_kv_put(actor_id, now, namespace=NAMESPACE)
                told = now
        time.sleep(EVERY)


def _bytes(process: psutil.Process) -> int:
    """What a process and those that it has started have read and written, and hold in memory."""
    total = 0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            io = each.io_counters()
            total += io.read_chars + io.write_chars + each.memory_info().rss
    return total


def read(actor_ids: Iterable[str]) -> dict[str, bytes | None]:
    """What each actor has told last; None before its first word."""
    return {actor_id: internal_kv._internal_kv_get(actor_id, namespace=NAMESPACE) for actor_id in actor_ids}


def forget(actor_ids: Iterable[str]) -> None:
    """Remove what actors that are no more have told."""
    for actor_id in actor_ids:
        internal_kv._internal_kv_del(actor_id, namespace=NAMESPACE)
