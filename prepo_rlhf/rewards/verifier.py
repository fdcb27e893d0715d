"""Answers graded by math-verify in worker processes with limits on time and memory.

Each of `num_workers` threads owns one worker process and a pipe to it. It takes a few answers at a time from the queue
of all callers, hands them to its worker, and starts a new worker when the old one has ended. Nothing is shared between
workers, so the death of one disturbs no other, and there are never more processes than workers, the fork server and
Python's resource tracker, however many answers wait.
Boundary: knows texts and grades, neither rewards nor models; `worker` says what ends a worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.util import Finalize
from threading import Lock, Thread
from types import TracebackType

from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.batches import ATTEMPTS, Batch, BatchQueue
from prepo_rlhf.rewards.grading import Gold, Grade
from prepo_rlhf.rewards.worker import END_SECONDS, Worker, WorkerDied, fork_server

START_ATTEMPTS = 6  # in a row, of all threads together, while no worker lives
PAUSE_SECONDS = 0.5  # after the first failed start; twice as long after each that follows
LONGEST_PAUSE_SECONDS = 8


class MathVerifier:
    """Worker processes that grade answers. They start with the first batch; the fork server starts with the verifier,
    to be ready by then.

    Safe to use from several threads and event loops at once. Use it as a context manager, or `close` it.
    """

    def __init__(self, options: MathOptions | None = None) -> None:
        self._options = options or MathOptions()
        self._queue = BatchQueue(self._options.num_workers)
        self._graders: list[_Grader] = []
        self._lock = Lock()
        fork_server()

    def grade(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """Grades of `responses[i]` against `golds[i]`, in that order; blocks until all are there.

        Raises:
            ValueError: not as many golds as responses.
            RuntimeError: the verifier is closed.
            BrokenProcessPool: no worker can be started.
            Exception: whatever a bug in the grading raises.
        """
        batch = self._put(responses, golds)
        try:
            return batch.future.result()
        finally:
            batch.future.cancel()

    async def grade_async(self, responses: Sequence[str], golds: Sequence[Gold]) -> list[Grade]:
        """The same for an event loop, which is free while the workers grade."""
        return await asyncio.wrap_future(self._put(responses, golds).future)

    def _put(self, responses: Sequence[str], golds: Sequence[Gold]) -> Batch:
        batch = Batch(responses, golds)
        self._queue.put(batch)
        with self._lock:
            if batch.answers and not self._graders:
                starts = _Starts(self._queue, self._graders)
                self._graders += [_Grader(self._options, self._queue, starts) for _ in range(self._options.num_workers)]
                # Before multiprocessing ends the workers at exit, which the graders would replace.
                self._at_exit = Finalize(None, self.close, exitpriority=0)
        return batch

    def close(self) -> None:
        """End the workers for good; what is being graded is given up with a RuntimeError."""
        self._queue.close()
        with self._lock:
            graders, self._graders = self._graders, []
        for grader in graders:
            grader.stop()
        for grader in graders:
            grader.join(2 * END_SECONDS)
        if graders:
            self._at_exit.cancel()

    def __enter__(self) -> MathVerifier:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType) -> None:
        self.close()


class _Grader(Thread):
    """The thread that feeds one worker process, and replaces it when it has ended."""

    def __init__(self, options: MathOptions, queue: BatchQueue, starts: _Starts) -> None:
        super().__init__(name="grader", daemon=True)
        self._options, self._queue, self._starts = options, queue, starts
        self._worker: Worker | None = None
        self.start()

    def run(self) -> None:
        while self._queue.wait():
            if worker := self._living_worker():
                self._grade_chunk(worker)
        if self._worker:
            self._worker.end()

    @property
    def has_worker(self) -> bool:
        return self._worker is not None and self._worker.alive

    def _living_worker(self) -> Worker | None:
        """The worker, or a new one once that has ended; None if no worker can be started."""
        if self.has_worker:
            return self._worker
        try:
            if self._worker:
                self._worker.end()
            self._worker = Worker(self._options)
            self._worker.wait_until_ready()
        except Exception as error:
            self._starts.failed(error)
            return None
        self._starts.worked()
        return self._worker

    def _grade_chunk(self, worker: Worker) -> None:
        """Hand a few answers to the worker; what it has not graded goes back to the queue."""
        if not (taken := self._queue.take()):
            return
        batch, numbers = taken
        left = deque(numbers)
        try:
            for result in worker.grade([batch.answers[number] for number in numbers]):
                self._queue.finish(batch, left.popleft(), result)
        except WorkerDied:
            batch.attempts[left[0]] += 1
            if batch.attempts[left[0]] == ATTEMPTS:
                self._queue.finish(batch, left.popleft(), Grade("timeout", seconds=self._options.timeout))
        except Exception as error:  # a message that cannot be pickled, here or there
            worker.kill()
            self._queue.finish(batch, left.popleft(), error)
        self._queue.give_back(batch, left)

    def stop(self) -> None:
        """End the worker in the midst of its answers; called from another thread, once the queue is closed."""
        if self._worker:
            self._worker.kill()


class _Starts:
    """Counts the failed starts of workers by all graders, who wait longer after each, one after the other. When there
    have been too many in a row and no worker lives, whatever waits fails: it must not look like wrong answers."""

    def __init__(self, queue: BatchQueue, graders: list[_Grader]) -> None:
        self._queue, self._graders = queue, graders
        self._failures = 0
        self._lock = Lock()

    def worked(self) -> None:
        self._failures = 0

    def failed(self, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            may_pass = isinstance(error, (OSError, EOFError)) and self._failures < START_ATTEMPTS
            if may_pass or any(grader.has_worker for grader in self._graders):
                self._queue.pause(min(PAUSE_SECONDS * 2 ** (self._failures - 1), LONGEST_PAUSE_SECONDS))
            else:
                self._queue.fail(BrokenProcessPool, f"no worker can be started: {error!r}")
                self._failures = 0
