"""Batches of answers that wait for workers: one queue for all callers and all workers, safe for threads.

A batch is one future, whatever its size: nothing in the caller's event loop wakes up before all its grades are there.
Boundary: knows which answers wait and which have failed how often; nothing of processes.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from threading import Condition

from prepo_rlhf.rewards.grading import Gold, Grade

ATTEMPTS = 3  # a worker may be killed from outside, through no fault of its answer
CHUNK_ANSWERS = 16  # in a worker's hands at most; enough that it doesn't wait for its owner on a busy machine
CHUNK_CHARACTERS = 2**18  # a longer response goes alone, as a worker may die of receiving it


class Batch:
    """The answers of one call. `future` is its result; once that is cancelled or failed, the rest is dropped."""

    def __init__(self, responses: Sequence[str], golds: Sequence[Gold]) -> None:
        self.answers = list(zip(responses, golds, strict=True))
        self.future: Future[list[Grade]] = Future()
        self.attempts: Counter[int] = Counter()  # of an answer that somebody else's kill has cost its worker
        self._lengths = [len(response) for response in responses]
        self._waiting = deque(range(len(self.answers)))
        self._grades: dict[int, Grade] = {}

    @property
    def waits(self) -> bool:
        return bool(self._waiting) and not self.future.done()

    def take(self, num_workers: int) -> list[int]:
        """The numbers of the next answers for one worker: fewer towards the batch's end, so that all workers end
        together."""
        size = min(CHUNK_ANSWERS, len(self._waiting) // (4 * num_workers))
        chunk = [self._waiting.popleft()]
        characters = self._lengths[chunk[0]]
        while len(chunk) < size and characters + self._lengths[self._waiting[0]] <= CHUNK_CHARACTERS:
            chunk.append(self._waiting.popleft())
            characters += self._lengths[chunk[-1]]
        return chunk

    def give_back(self, numbers: Sequence[int]) -> None:
        self._waiting.extendleft(reversed(numbers))

    def finish(self, number: int, result: Grade | BaseException) -> None:
        """An answer's grade, or what a bug in the grading raised, which fails the batch."""
        if isinstance(result, BaseException):
            self.fail(result)
            return
        self._grades[number] = result
        if len(self._grades) == len(self.answers):
            with suppress(InvalidStateError):  # the caller has cancelled it
                self.future.set_result([self._grades[number] for number in range(len(self.answers))])

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):
            self.future.set_exception(error)


class BatchQueue:
    """Batches take turns, a chunk of answers each: a small one does not wait for the end of a large one."""

    def __init__(self, num_workers: int) -> None:
        self._num_workers = num_workers
        self._changed = Condition()
        self._waiting: deque[Batch] = deque()
        self._open: set[Batch] = set()  # also those of which every answer is with a worker
        self._closed = False

    def put(self, batch: Batch) -> None:
        """Raises RuntimeError if the queue is closed."""
        with self._changed:
            if self._closed:
                raise RuntimeError("the verifier is closed")
            if not batch.answers:
                batch.future.set_result([])
                return
            self._waiting.append(batch)
            self._open.add(batch)
            self._changed.notify_all()
        batch.future.add_done_callback(lambda _: self._forget(batch))

    def wait(self) -> bool:
        """Wait for answers that wait; False if the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or any(batch.waits for batch in self._waiting))
            return not self._closed

    def pause(self, seconds: float) -> None:
        """Sleep, unless the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed, seconds)

    def take(self) -> tuple[Batch, list[int]] | None:
        """The next answers for a worker, as their numbers in a batch; None if another has just taken the last."""
        with self._changed:
            while self._waiting:
                batch = self._waiting.popleft()
                if batch.waits:
                    numbers = batch.take(self._num_workers)
                    if batch.waits:
                        self._waiting.append(batch)
                    return batch, numbers
            return None

    def finish(self, batch: Batch, number: int, result: Grade | BaseException) -> None:
        with self._changed:
            batch.finish(number, result)

    def give_back(self, batch: Batch, numbers: Sequence[int]) -> None:
        """Answers that a worker has not graded, for the next one."""
        with self._changed:
            waited = batch.waits
            batch.give_back(numbers)
            if batch.waits and not waited:
                self._waiting.appendleft(batch)
                self._changed.notify_all()

    def fail(self, error: type[Exception], message: str) -> None:
        """Fail whatever is waiting or being graded."""
        with self._changed:
            for batch in list(self._open):
                batch.fail(error(message))

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self.fail(RuntimeError, "the verifier is closed")

    def _forget(self, batch: Batch) -> None:
        with self._changed:
            self._open.discard(batch)
