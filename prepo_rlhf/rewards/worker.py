"""A worker process that grades answers, seen from both sides: its owner's handle, and what runs inside it.

What ends the grading of an answer, and what becomes of the answer:

- More processor time than `timeout`: the kernel sends the worker SIGPROF, whose default action ends a process even in
  the middle of a computation in C. The answer's grade is "timeout". The wait for a processor doesn't count.
- `WALL_FACTOR` times as long by the clock (a worker that sleeps or was stopped): the owner sends SIGKILL; "timeout".
- More memory than `memory_gb`: the allocation fails (RLIMIT_AS) and raises MemoryError; "timeout", the worker goes on.
- Any other death (a signal from outside, the machine out of memory): the answer has no grade and may be given again.
- The death of the owner: PDEATHSIG ends the worker when the fork server dies, which exits when its owner does.

Boundary: one process and its limits; which answers it gets and what follows its death is `verifier`'s.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import resource
import signal
import traceback
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from threading import Lock
from typing import Any

from sympy.core.cache import clear_cache

from prepo_rlhf.backends.main_module import replace_main_module
from prepo_rlhf.config.training import MathOptions
from prepo_rlhf.rewards.grading import Gold, Grade, grade_response

WALL_FACTOR = 60  # a computation that gets a sixtieth of a processor still has all of its time
WALL_SECONDS = 60  # at least
START_SECONDS = 300  # that a new process may take to import what it needs, on a busy machine
END_SECONDS = 10  # that a killed process may take to end
PROCESS_NAME = "math verifier"
_PR_SET_PDEATHSIG = 1
_children = Lock()  # multiprocessing's table of child processes is not safe to use from several threads


def fork_server() -> ForkServerContext:
    """A fork server with math-verify imported: workers start fast, without the threads and memory of their owner.
    Starts the server, which takes a few seconds, and does not wait for it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "prepo_rlhf.rewards.warm_up"])
    replace_main_module(PROCESS_NAME)
    forkserver.ensure_running()
    return context


class WorkerDied(EOFError):
    """The process has ended, and not by a limit of its own."""


class Worker:
    """A worker process and the pipe to it. It belongs to one thread; `kill` may be called from any.

    Raises:
        OSError, EOFError: the process cannot be started.
    """

    def __init__(self, options: MathOptions) -> None:
        self._options = options
        self._wall_seconds = max(WALL_SECONDS, WALL_FACTOR * options.timeout)
        self._killed = False
        self._pipe, theirs = multiprocessing.Pipe()
        self._process = fork_server().Process(target=serve, args=(theirs, options), name=PROCESS_NAME, daemon=True)
        with _children, theirs:
            self._process.start()

    def wait_until_ready(self) -> None:
        """Wait until it can take answers.

        Raises:
            OSError, EOFError: it died before that, or hangs and has been killed.
        """
        if not self._wait_for_message(START_SECONDS):
            self.kill()
            raise OSError(f"worker process {self._process.pid} hangs at its start")
        self._pipe.recv()

    @property
    def alive(self) -> bool:
        return not self._killed and not wait([self._process.sentinel], 0)

    def kill(self) -> None:
        self._killed = True
        self._process.kill()

    def end(self) -> None:
        """Kill the process and wait for its end.

        Raises:
            OSError: the operating system cannot end it.
        """
        if self.alive:
            self.kill()
        if not wait([self._process.sentinel], END_SECONDS):
            raise OSError(f"worker process {self._process.pid} cannot be ended")

    def grade(self, answers: list[tuple[str, Gold]]) -> Iterator[Grade | BaseException]:
        """Grades of (response, gold), each as soon as it is there; an exception is what a bug in the grading raised.
        Ends early after an answer that has cost the process its life.

        Raises:
            WorkerDied: through no fault of an answer, as far as one can tell.
        """
        try:
            self._pipe.send(answers)
            for _ in answers:
                if not self._wait_for_message(self._wall_seconds):
                    self.kill()
                    yield Grade("timeout", seconds=self._wall_seconds)
                    return
                yield self._pipe.recv()
        except (EOFError, OSError) as error:
            code = self._exit_code()
            self.kill()  # the sentinel may take a moment to tell again that it has ended
            if code != -signal.SIGPROF:
                raise WorkerDied from error
            yield Grade("timeout", seconds=self._options.timeout)

    def _wait_for_message(self, seconds: float) -> bool:
        """Whether there is one in time.

        Raises:
            EOFError: the process has ended.
        """
        # The sentinel too: a process that the owner has forked may hold the pipe's other end open.
        ready = wait([self._pipe, self._process.sentinel], seconds)
        if ready and self._pipe not in ready:
            raise EOFError(f"worker process {self._process.pid} has ended")
        return bool(ready)

    def _exit_code(self) -> int | None:
        wait([self._process.sentinel], END_SECONDS)
        with _children:
            return self._process.exitcode


def serve(pipe: Connection, options: MathOptions) -> None:
    """What a worker process does: take a list of answers, send the grade of each, until the owner's end is closed."""
    limit_worker(options)
    pipe.send("ready")
    while True:
        try:
            answers = pipe.recv()
        except (EOFError, OSError, MemoryError):  # MemoryError: too large to receive, and half of it is in the pipe
            return
        for response, gold in answers:
            result = _grade(response, gold, options)
            try:
                pipe.send(result)
            except OSError:
                return


def _grade(response: str, gold: Gold, options: MathOptions) -> Grade | BaseException:
    """Grade an answer within its limits, then clear sympy's caches, which keep huge integers, if less than half of the
    memory is left."""
    try:
        signal.setitimer(signal.ITIMER_PROF, options.timeout)
        return grade_response(response, gold, options.extraction, options.max_answer_length)
    except MemoryError:
        return Grade("timeout", seconds=options.timeout)
    except BaseException as error:  # math-verify has exceptions of this kind
        error.add_note(f"in a worker process:\n{traceback.format_exc()}")
        return error
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if resource.getrlimit(resource.RLIMIT_AS)[0] - _memory_in_use() < options.memory_gb * 2**30 / 2:
            clear_cache()


def limit_worker(options: MathOptions) -> None:
    """Limit the memory beyond what the process starts with, and let it die at once on SIGTERM, SIGPROF and when its
    owner dies, even by SIGKILL."""
    limit = _memory_in_use() + int(options.memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the owner, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
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
