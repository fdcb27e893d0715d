"""Answers graded by math-verify in worker processes that can be killed: no response can hang or bloat a run.

A worker that exceeds the time limit, or dies, is replaced; a bug in the grading itself is raised here.
Boundary: knows texts and grades, neither rewards nor models.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from pebble import ProcessExpired, ProcessPool

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.grading import Gold, Grade, grade_response

POLL_SECONDS = 5
ATTEMPTS = 2  # a worker may be killed by someone else than its answer: that answer gets a second chance
_PR_SET_PDEATHSIG = 1


class MathVerifier:
    """A pool of worker processes that grade answers; starts with the first batch, and again if it ever breaks.

    Safe to use from several threads and event loops at once. Use it as a context manager, or `close` it.
    """

    def __init__(self, options: MathOptions | None = None) -> None:
        self._options = options or MathOptions()
        self._lock = Lock()
        self._pool: ProcessPool | None = None

    def grade(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """Grades of `responses[i]` against `golds[i]`, in that order, from a thread without an event loop."""
        return asyncio.run(self.grade_async(responses, golds))

    async def grade_async(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """The same for an event loop, which is free while the workers grade.

        Raises:
            ValueError: not as many golds as responses.
            Exception: whatever a bug in the grading raises.
        """
        pairs = zip(responses, golds, strict=True)
        return list(await asyncio.gather(*(self._grade_one(response, gold) for response, gold in pairs)))

    async def _grade_one(self, response: str, gold: Gold) -> Grade:
        options = self._options
        arguments = (response, gold, options.extraction, options.max_answer_length)
        for _ in range(ATTEMPTS):
            pool, future = self._schedule(grade_response, arguments)
            try:
                return await _result(pool, future)
            except (TimeoutError, MemoryError):
                break
            except (ProcessExpired, BrokenProcessPool):
                continue
        return Grade("timeout", seconds=options.timeout)

    def _schedule(self, function: Callable[..., Grade], arguments: tuple[Any, ...]) -> tuple[ProcessPool, Future]:
        """Queue a call in the pool, made anew if there is none or if the death of an idle worker has broken it."""
        options = self._options
        with self._lock:
            if self._pool is None or not self._pool.active:
                self._stop_pool()
                memory = int(options.memory_gb * 2**30)
                self._pool = ProcessPool(
                    options.num_workers, initializer=_limit_worker, initargs=(memory,), context=_context()
                )
            return self._pool, self._pool.schedule(function, arguments, timeout=options.timeout)

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def close(self) -> None:
        """End the workers; what is being graded is given up."""
        with self._lock:
            self._stop_pool()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType) -> None:
        self.close()


async def _result(pool: ProcessPool, future: Future) -> Grade:
    """What a worker answered; a pool that breaks leaves some calls unanswered, which raises BrokenProcessPool here."""
    answer = asyncio.wrap_future(future)
    while not (await asyncio.wait([answer], timeout=POLL_SECONDS))[0]:
        if not pool.active:
            raise BrokenProcessPool
    return answer.result()


def _context() -> BaseContext:
    """Workers are forked from a clean server that has imported math-verify: quick to replace, and without the threads
    and memory of the process that owns the pool."""
    context = multiprocessing.get_context("forkserver")
    # A worker imports its owner's main module, and a Ray worker's imports Ray: once in the server, not once a worker.
    context.set_forkserver_preload(["prepo_rlhf.rewards.grading", *(["ray"] if "ray" in sys.modules else [])])
    return context


def _limit_worker(memory: int) -> None:
    """Runs first in each worker: limits its memory (bytes beyond what it starts with), and lets it die at once when
    it is told to, or when its owner dies, however that ends."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's handler would wait for a long computation in C to end
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # math-verify warns that it has no time limit of its own, which is what the worker is for.
    logging.getLogger("math_verify").setLevel(logging.ERROR)
