"""Worker processes of the math verifier as the operating system sees them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil


def workers_of(owner: int | None = None) -> set[psutil.Process]:
    """Living children of the owner's children: workers are forked by a server, which is the owner's child."""
    try:
        servers = psutil.Process(owner).children()
        return {worker for server in servers for worker in server.children(recursive=True) if is_alive(worker)}
    except psutil.NoSuchProcess:
        return set()


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def resident(process: psutil.Process) -> int:
    """Bytes of memory, 0 for a process that has ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


class Watch:
    """What has been seen of this process' workers: all of them, and the most memory that one had."""

    def __init__(self) -> None:
        self.workers: set[psutil.Process] = set()
        self.peak = 0


@contextmanager
def watch_workers() -> Iterator[Watch]:
    """Looks at the workers all the time; those that are there before are left out."""
    watch, before = Watch(), workers_of()

    def look() -> None:
        workers = workers_of() - before
        watch.workers |= workers
        watch.peak = max([watch.peak, *map(resident, workers)])

    with repeated(look):
        yield watch


@contextmanager
def most_processes() -> Iterator[list[int]]:
    """The most descendants of this process beyond those that were there, as a list of one number."""
    before, most = set(psutil.Process().children(recursive=True)), [0]

    def look() -> None:
        most[0] = max(most[0], sum(map(is_alive, set(psutil.Process().children(recursive=True)) - before)))

    with repeated(look):
        yield most


@contextmanager
def repeated(look: Callable[[], None]) -> Iterator[None]:
    """Calls `look` 50 times a second, beside what is inside."""
    done = threading.Event()

    def go_on() -> None:
        while not done.wait(0.02):
            look()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
