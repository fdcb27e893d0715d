"""Answers graded by math-verify in a pool of worker processes with limits on time and memory.

A worker that exceeds a limit, or dies, is replaced; an exception of the grading code is raised here.
Boundary: knows texts and grades, neither rewards nor models.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import sys
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, TimeoutError
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from multiprocessing.util import Finalize
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any

from pebble import ProcessExpired, ProcessPool
from sympy.core.cache import clear_cache

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.grading import Gold, Grade, grade_response

POLL_SECONDS = 5
PATIENCE_SECONDS = 60  # beyond the time limit of an answer
ATTEMPTS = 3  # a worker, and then the next attempt's pool, may be killed from outside, through no fault of the answer
_PR_SET_PDEATHSIG = 1


class MathVerifier:
    """A pool of worker processes that grade answers. It starts with the first batch, and again whenever it breaks; the
    fork server starts with the verifier, to be ready by then.

    Safe to use from several threads and event loops at once. Use it as a context manager, or `close` it.
    """

    def __init__(self, options: MathOptions | None = None) -> None:
        self._options = options or MathOptions()
        self._memory = int(self._options.memory_gb * 2**30)
        self._context = _context()
        self._lock = Lock()
        self._pool: ProcessPool | None = None
        self._closed = False
        self._last_news = 0.0  # when a call was last queued or answered
        # At exit pebble kills its workers, but waits for one that it has just started: close the pool before.
        Finalize(self, _close, args=(weakref.ref(self),), exitpriority=0)

    def grade(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """Grades of `responses[i]` against `golds[i]`, in that order, from a thread without an event loop."""
        return asyncio.run(self.grade_async(responses, golds))

    async def grade_async(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """The same for an event loop, which is free while the workers grade.

        Raises:
            ValueError: not as many golds as responses.
            RuntimeError: the verifier is closed.
            BrokenProcessPool: no worker can be started.
            Exception: whatever a bug in the grading raises.
        """
        pairs = list(zip(responses, golds, strict=True))
        return list(await asyncio.gather(*(self._grade_one(response, gold) for response, gold in pairs)))

    async def _grade_one(self, response: str, gold: Gold) -> Grade:
        options = self._options
        arguments = (self._memory, response, gold, options.extraction, options.max_answer_length)
        for attempts_left in reversed(range(ATTEMPTS)):
            try:
                return await self._result(*self._schedule(_grade_in_worker, arguments))
            except (TimeoutError, MemoryError):
                break
            except ProcessExpired:
                continue
            except BrokenProcessPool:
                # If no worker can start at all, raise: it must not look like wrong answers.
                if not attempts_left:
                    await self._check_that_workers_start()
        return Grade("timeout", seconds=options.timeout)

    async def _check_that_workers_start(self) -> None:
        """Run an empty call in a new pool with one worker, where no answer can break it.

        Raises:
            BrokenProcessPool: no worker can be started.
        """
        pool = self._new_pool(num_workers=1)
        answer = asyncio.wrap_future(pool.schedule(_do_nothing))
        await asyncio.wait([answer], timeout=PATIENCE_SECONDS)
        works = answer.done() and not answer.exception()
        pool.stop()
        pool.join()
        if not works:
            raise BrokenProcessPool("no worker can be started")

    def _new_pool(self, num_workers: int) -> ProcessPool:
        return ProcessPool(num_workers, initializer=_limit_worker, initargs=(self._memory,), context=self._context)

    def _schedule(self, function: Callable[..., Grade], arguments: tuple[Any, ...]) -> tuple[ProcessPool, Future]:
        """Queue a call in the pool; start one if there is none, or if the death of an idle worker has broken it."""
        options = self._options
        with self._lock:
            if self._closed:
                raise RuntimeError("the verifier is closed")
            if self._pool is None or not self._pool.active:
                self._stop_pool()
                self._pool = self._new_pool(options.num_workers)
            self._last_news = time.monotonic()
            return self._pool, self._pool.schedule(function, arguments, timeout=options.timeout)

    async def _result(self, pool: ProcessPool, future: Future) -> Grade:
        """What a worker answered.

        Raises:
            BrokenProcessPool: the pool has broken, or was stopped for its silence: a worker that dies while it takes a
                call from the queue loses the call, and pebble does not notice.
        """
        answer = asyncio.wrap_future(future)
        while not (await asyncio.wait([answer], timeout=POLL_SECONDS))[0]:
            if time.monotonic() - self._last_news > self._options.timeout + PATIENCE_SECONDS:
                pool.stop()
            if not pool.active:
                answer.cancel()
                raise BrokenProcessPool
        if answer.exception() and not pool.active:
            raise BrokenProcessPool
        self._last_news = time.monotonic()
        return answer.result()

    def _stop_pool(self) -> None:
        if self._pool is not None:
            self._pool.stop()
            self._pool.join()
            self._pool = None

    def close(self) -> None:
        """End the workers for good; what is being graded is given up with a RuntimeError."""
        with self._lock:
            self._closed = True
            self._stop_pool()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType) -> None:
        self.close()


def _context() -> BaseContext:
    """A fork server with math-verify imported: workers start fast, without the threads and memory of the pool's owner.
    Starts the server, which takes a few seconds, and does not wait for it."""
    context = multiprocessing.get_context("forkserver")
    # A worker imports its owner's main module, which in a Ray worker imports Ray: preload it, once for all workers.
    modules = [__name__, "prepo_rlhf.rewards.warm_up", *(["ray"] if "ray" in sys.modules else [])]
    context.set_forkserver_preload(modules)
    forkserver.ensure_running()
    return context


def _close(verifier: weakref.ref[MathVerifier]) -> None:
    """Close it if it is still there."""
    if there := verifier():
        there.close()


def _do_nothing() -> None:
    """The empty call that shows that a worker runs."""


def _grade_in_worker(memory: int, *arguments: Any) -> Grade:
    """Grade an answer, then clear sympy's caches, which keep huge integers, if less than half of the memory is left."""
    try:
        return grade_response(*arguments)
    finally:
        if resource.getrlimit(resource.RLIMIT_AS)[0] - _memory_in_use() < memory / 2:
            clear_cache()


def _limit_worker(memory: int) -> None:
    """Initializer of each worker: limits its memory (bytes beyond what it starts with), and lets it die at once on
    SIGTERM and when its owner dies, even by SIGKILL."""
    limit = _memory_in_use() + memory
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pebble's handler would wait for a long computation in C to end
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # PDEATHSIG fires when the fork server dies; the server exits when its owner's end of a pipe closes, of
    # which every worker has a copy.
    server: Any = forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    # math-verify warns that it has no time limit of its own, which is what the worker is for.
    logging.getLogger("math_verify").setLevel(logging.ERROR)


def _memory_in_use() -> int:
    """Bytes, as the limit counts them."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
